# PRO-SCALE, (3,3,3), timm-EfficientNet-Lite0, CamVid panoptic, 4 x 1,500 steps; no published figure
_base_ = [
    "_base_/models/proscale_m2f_timm-efficientnet-lite0.py",
    "_base_/recipes/camvid_panoptic.py",
]
model = _base_.model_settings
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2))))
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=1500)]
train_cfg = dict(max_iters=1500)
