# PEM, convolutions, STDC1, ADE20K panoptic, 32 x 160,000 steps; no published figure
_base_ = ["_base_/models/pem_m2f_stdc1.py", "_base_/recipes/pem_ade20k_panoptic.py"]
model = _base_.model_settings
