# PEM, convolutions, R50, ADE20K panoptic, 32 x 160,000 steps; PQ 38.5 (PEM, Table 2)
_base_ = ["_base_/models/pem_m2f_r50.py", "_base_/recipes/pem_ade20k_panoptic.py"]
model = _base_.model_settings
