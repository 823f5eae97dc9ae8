# Your own data, instance: the best checkpoint, by AP, and the last two are kept.
_base_ = ["../datasets/own_instance.py", "../schedules/own_steps.py", "../default_runtime.py"]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2, save_best="coco/segm_mAP", rule="greater"))
