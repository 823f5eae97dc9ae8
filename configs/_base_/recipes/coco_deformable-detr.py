# Deformable DETR's recipe on COCO's boxes: batches of 32, which are 4 images on each of 8 GPUs
# (mmdet: 2 on each of 16). With fewer GPUs add --auto-scale-lr, and more steps: docs/detection.md
# says how many.
_base_ = [
    "../datasets/coco_detection.py",
    "../schedules/deformable_detr_50e.py",
    "../default_runtime.py",
]
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval=3697))  # an epoch
