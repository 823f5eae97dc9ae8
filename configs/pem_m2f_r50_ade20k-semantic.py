# PEM, ResNet-50, ADE20K semantic, the paper's recipe: batches of 32 (4 on each of 8 GPUs),
# batch norms over all of them, and a rate that falls as a cosine.
_base_ = ["./proscale_m2f_r50_ade20k-semantic.py", "_base_/models/pem.py"]
model = dict(
    decode_head=dict(
        pixel_decoder=dict(_delete_=True, **_base_.pixel_decoder),
        transformer_decoder=_base_.transformer_decoder,
    )
)
# PEM follows Mask2Former, which takes a crop whatever share of it one class has; mmseg does not.
train_pipeline = _base_.train_pipeline
train_pipeline[3].cat_max_ratio = 1.0
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=4e-4))
auto_scale_lr = dict(base_batch_size=32)
param_scheduler = dict(
    _delete_=True, type="CosineAnnealingLR", eta_min=0, begin=0, end=160000, by_epoch=False
)
sync_bn = "torch"
