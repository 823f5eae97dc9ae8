# PEM, ResNet-50, Cityscapes panoptic, the paper's recipe: batches of 32 (4 on each of 8 GPUs),
# batch norms over all of them, and a rate that falls as a cosine.
_base_ = ["./proscale_m2f_r50_cityscapes.py", "_base_/models/pem.py"]
model = dict(
    panoptic_head=dict(
        pixel_decoder=dict(_delete_=True, **_base_.pixel_decoder),
        transformer_decoder=_base_.transformer_decoder,
    )
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=7e-4))
auto_scale_lr = dict(base_batch_size=32)
param_scheduler = dict(
    _delete_=True, type="CosineAnnealingLR", eta_min=0, begin=0, end=90000, by_epoch=False
)
