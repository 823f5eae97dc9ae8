# DETR's recipe on COCO: 150 epochs of batch 16, the rate divided by 10 after the 100th.
epoch = 7393  # iterations: 118,287 images
max_iters = 150 * epoch
milestones = [100 * epoch]
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1, decay_mult=1.0)}),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
param_scheduler = [
    dict(
        type="MultiStepLR",
        begin=0,
        end=max_iters,
        by_epoch=False,
        milestones=milestones,
        gamma=0.1,
    )
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=epoch)
auto_scale_lr = dict(enable=False, base_batch_size=16)
del epoch, max_iters, milestones
