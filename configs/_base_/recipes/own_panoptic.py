# Your own data, panoptic: the best checkpoint, by PQ, and the last two are kept.
_base_ = ["../datasets/own_panoptic.py", "../schedules/own_steps.py", "../default_runtime.py"]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2, save_best="universal/PQ", rule="greater"))
