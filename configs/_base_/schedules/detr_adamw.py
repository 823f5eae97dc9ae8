# AdamW as in DETR, DINO and DDQ: the backbone learns at a tenth of the rate.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
fall = dict(type="MultiStepLR", begin=0, by_epoch=False, gamma=0.1)
