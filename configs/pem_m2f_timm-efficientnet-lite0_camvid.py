# PEM, convolutions, timm-EfficientNet-Lite0, CamVid panoptic, 4 x 1,500 steps; no published figure
_base_ = [
    "_base_/models/pem_m2f_timm-efficientnet-lite0.py",
    "_base_/recipes/camvid_panoptic_pretrained.py",
]
model = _base_.model_settings
