# PEM, convolutions, R18, Shapes panoptic, 4 x 2,500 steps; no published figure
_base_ = ["_base_/models/pem_m2f_r18.py", "_base_/recipes/shapes_panoptic.py"]
model = _base_.model_settings
