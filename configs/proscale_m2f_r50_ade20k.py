# PRO-SCALE, (3,3,3), R50, ADE20K panoptic, 16 x 160,000 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_r50.py", "_base_/recipes/ade20k_panoptic.py"]
model = _base_.model_settings
