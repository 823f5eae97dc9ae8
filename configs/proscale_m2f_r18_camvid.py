# A small PRO-SCALE Mask2Former from scratch on CamVid's 367 street photographs. max_iters suits a
# GPU; on a CPU shorten it, with the schedule: --cfg-options train_cfg.max_iters=2000
# param_scheduler.1.end=2000
_base_ = [
    "_base_/models/m2f_r18.py",
    "_base_/datasets/camvid_panoptic.py",
    "_base_/schedules/adamw_from_scratch.py",
    "_base_/default_runtime.py",
]
num_things_classes = 3
num_stuff_classes = 8
model = dict(
    panoptic_head=dict(
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
        num_queries=50,
        pixel_decoder=dict(
            type="mmproscale.ProScalePixelDecoder",
            encoder=dict(schedule=dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3))),
        ),
        transformer_decoder=dict(num_layers=3),
        loss_cls=dict(class_weight=[1.0] * (num_things_classes + num_stuff_classes) + [0.1]),
    ),
    panoptic_fusion_head=dict(
        num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes
    ),
    train_cfg=dict(num_points=2048),
)
max_iters = 20000
warm_up = 200
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
    dict(type="CosineAnnealingLR", eta_min=0, by_epoch=False, begin=warm_up, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
del max_iters, warm_up
