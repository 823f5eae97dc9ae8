# A small PRO-SCALE Mask2Former from scratch on CamVid's 367 street photographs. max_iters suits a
# GPU; on a CPU shorten it, with the schedule: --cfg-options train_cfg.max_iters=2000
# param_scheduler.1.end=2000
_base_ = [
    "_base_/models/m2f_r18.py",
    "_base_/datasets/camvid_panoptic.py",
    "_base_/schedules/from_scratch_20k.py",
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
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
