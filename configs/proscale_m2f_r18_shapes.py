# A PRO-SCALE Mask2Former that trains from scratch on a CPU in minutes, on generated images.
_base_ = [
    "_base_/models/m2f_r18.py",
    "_base_/datasets/shapes_panoptic.py",
    "_base_/schedules/adamw_from_scratch.py",
    "_base_/default_runtime.py",
]
num_things_classes = 4
num_stuff_classes = 4
model = dict(
    panoptic_head=dict(
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
        num_queries=24,
        pixel_decoder=dict(
            type="mmproscale.ProScalePixelDecoder",
            encoder=dict(schedule=dict(_delete_=True, type="pro_scale", repeats=(1, 1, 1))),
        ),
        transformer_decoder=dict(num_layers=3),
        loss_cls=dict(class_weight=[1.0] * (num_things_classes + num_stuff_classes) + [0.1]),
    ),
    panoptic_fusion_head=dict(
        num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes
    ),
    train_cfg=dict(num_points=1024),
    test_cfg=dict(object_mask_thr=0.5),
)
max_iters = 2500
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=max_iters // 10),
    dict(type="CosineAnnealingLR", eta_min=0, by_epoch=False, begin=max_iters // 10, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters // 2)
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=max_iters // 2, max_keep_ckpts=1))
del max_iters
