# CamVid from a backbone with ImageNet weights, which learns at a fifth of the rate.
_base_ = [
    "../datasets/camvid_panoptic.py",
    "../schedules/from_scratch_20k.py",
    "../default_runtime.py",
]
max_iters = 1500
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2))))
warm_up, cosine = _base_.param_scheduler
param_scheduler = [warm_up, dict(cosine, end=max_iters)]
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
del max_iters, warm_up, cosine
