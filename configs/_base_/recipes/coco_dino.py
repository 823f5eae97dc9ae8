# DINO's recipe on COCO's boxes.
_base_ = ["../datasets/coco_detection.py", "../schedules/dino_12e.py", "../default_runtime.py"]
default_hooks = dict(checkpoint=dict(interval=7393))  # an epoch
