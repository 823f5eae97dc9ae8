# Your own data, semantic: the best checkpoint, by mIoU, and the last two are kept.
_base_ = ["../datasets/own_semantic.py", "../schedules/own_steps.py", "../semantic_runtime.py"]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2, save_best="mIoU", rule="greater"))
