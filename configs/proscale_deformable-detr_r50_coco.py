# PRO-SCALE (3,3,3,3) in Deformable DETR, ResNet-50, COCO boxes, Deformable DETR's recipe: batches
# of 32, which are 4 images on each of 8 GPUs (mmdet: 2 on each of 16). With fewer GPUs add
# --auto-scale-lr, and more steps: docs/detection.md says how many.
_base_ = [
    "_base_/models/deformable_detr_r50.py",
    "_base_/datasets/coco_detection.py",
    "_base_/default_runtime.py",
    "_base_/schedules/deformable_detr_50e.py",
]
levels = (64, 32, 16, 8)
schedule = dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3, 3), levels=levels)
model = dict(encoder=dict(schedule=schedule), recalibration=dict(type="TRC"))
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval=3697))  # an epoch
del levels, schedule
