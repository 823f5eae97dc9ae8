# 2,500 iterations from scratch on Shapes, minutes on a CPU.
_base_ = [
    "../datasets/shapes_panoptic.py",
    "../schedules/adamw_from_scratch.py",
    "../default_runtime.py",
]
model_settings = dict(
    panoptic_head=dict(num_queries=24),
    train_cfg=dict(num_points=1024),
    test_cfg=dict(object_mask_thr=0.5),
)
max_iters = 2500
warm_up = max_iters // 10
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
    dict(type="CosineAnnealingLR", eta_min=0, by_epoch=False, begin=warm_up, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters // 2)
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=max_iters // 2, max_keep_ckpts=1))
del max_iters, warm_up
