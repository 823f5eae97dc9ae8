# Lite-M2F, (5+1), R50, Cityscapes panoptic, 16 x 90,000 steps; no published figure
_base_ = ["_base_/models/lite_m2f_r50.py", "_base_/recipes/proscale_cityscapes_panoptic.py"]
model = dict(_base_.model_settings, backbone=_base_.trained_norms)
