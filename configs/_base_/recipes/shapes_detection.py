# 2,000 iterations from scratch on the boxes of Shapes, minutes on a CPU.
_base_ = [
    "../datasets/shapes_detection.py",
    "../schedules/detr_from_scratch_3k.py",
    "../default_runtime.py",
]
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = 200
param_scheduler[1].end = 2000
train_cfg = dict(max_iters=2000)
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=1))
