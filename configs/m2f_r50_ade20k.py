# M2F, 6 layers, R50, ADE20K panoptic, 16 x 160,000 steps; PQ 39.7 (PEM, Table 2)
_base_ = ["_base_/models/m2f_r50.py", "_base_/recipes/ade20k_panoptic.py"]
model = _base_.model_settings
