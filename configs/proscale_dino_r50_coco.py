# PRO-SCALE (3,3,3,3) in DINO (supplement, Table T1), ResNet-50, COCO boxes, DINO's 12 epochs.
_base_ = [
    "_base_/models/dino_r50.py",
    "_base_/datasets/coco_detection.py",
    "_base_/default_runtime.py",
    "_base_/schedules/dino_12e.py",
]
levels = (64, 32, 16, 8)
schedule = dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3, 3), levels=levels)
model = dict(encoder=dict(schedule=schedule), recalibration=dict(type="TRC"))
default_hooks = dict(checkpoint=dict(interval=7393))  # an epoch
del levels, schedule
