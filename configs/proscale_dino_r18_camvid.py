# A PRO-SCALE DINO for street photographs, small enough for a CPU, from scratch.
_base_ = [
    "_base_/models/dino_r18.py",
    "_base_/datasets/camvid_detection.py",
    "_base_/schedules/adamw_from_scratch.py",
    "_base_/default_runtime.py",
]
schedule = dict(_delete_=True, type="pro_scale", repeats=(1, 1, 1), levels=((64, 32), 16, 8))
model = dict(
    num_queries=60,
    encoder=dict(schedule=schedule),
    recalibration=dict(type="TRC"),
    bbox_head=dict(num_classes=3),
    test_cfg=dict(max_per_img=60),
)
max_iters = 3000
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
auto_scale_lr = dict(base_batch_size=2)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=max_iters // 10),
    dict(type="CosineAnnealingLR", eta_min=0, by_epoch=False, begin=max_iters // 10, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters // 3)
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=max_iters // 3, max_keep_ckpts=1))
del max_iters, schedule
