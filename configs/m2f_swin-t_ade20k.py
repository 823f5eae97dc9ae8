# M2F, 6 layers, Swin-T, ADE20K panoptic, 16 x 160,000 steps; no published figure
_base_ = ["_base_/models/m2f_swin-t.py", "_base_/recipes/ade20k_panoptic.py"]
model = _base_.model_settings
