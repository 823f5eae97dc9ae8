# CamVid from a backbone with ImageNet weights, which learns at a fifth of the rate.
_base_ = "./camvid_panoptic.py"
max_iters = 1500
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2))))
warm_up, cosine = _base_.param_scheduler
param_scheduler = [warm_up, dict(cosine, end=max_iters)]
train_cfg = dict(max_iters=max_iters)
del max_iters, warm_up, cosine
