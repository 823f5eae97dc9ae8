# Your own data, boxes: the best checkpoint, by AP, and the last two are kept.
_base_ = ["../datasets/own_detection.py", "../schedules/own_steps.py", "../default_runtime.py"]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2, save_best="coco/bbox_mAP", rule="greater"))
