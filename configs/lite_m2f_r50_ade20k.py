# Lite-M2F, (5+1), R50, ADE20K panoptic, 16 x 160,000 steps; no published figure
_base_ = ["_base_/models/lite_m2f_r50.py", "_base_/recipes/ade20k_panoptic.py"]
model = _base_.model_settings
