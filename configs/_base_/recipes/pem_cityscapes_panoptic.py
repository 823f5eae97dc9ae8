# PEM's recipe on Cityscapes panoptic: 4 images on each of 8 GPUs, batch norms over all of them.
_base_ = [
    "../datasets/cityscapes_panoptic.py",
    "../schedules/pem_cityscapes_90k.py",
    "../default_runtime.py",
]
train_dataloader = dict(batch_size=4)
