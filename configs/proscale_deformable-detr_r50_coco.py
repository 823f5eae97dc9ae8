# PRO-SCALE (3,3,3,3) in Deformable DETR, ResNet-50, COCO boxes, Deformable DETR's recipe.
_base_ = [
    "_base_/models/deformable_detr_r50.py",
    "_base_/datasets/coco_detection.py",
    "_base_/default_runtime.py",
    "_base_/schedules/deformable_detr_50e.py",
]
levels = (64, 32, 16, 8)
schedule = dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3, 3), levels=levels)
model = dict(encoder=dict(schedule=schedule), recalibration=dict(type="TRC"))
default_hooks = dict(checkpoint=dict(interval=3697))  # an epoch
del levels, schedule
