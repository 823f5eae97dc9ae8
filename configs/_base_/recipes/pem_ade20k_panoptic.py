# PEM's recipe on ADE20K panoptic: 4 images on each of 8 GPUs, batch norms over all of them.
_base_ = [
    "../datasets/ade20k_panoptic.py",
    "../schedules/pem_ade20k_160k.py",
    "../default_runtime.py",
]
train_dataloader = dict(batch_size=4)
sync_bn = "torch"
