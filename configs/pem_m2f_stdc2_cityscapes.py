# PEM, convolutions, STDC2, Cityscapes panoptic, 32 x 90,000 steps; no published figure
_base_ = ["_base_/models/pem_m2f_stdc2.py", "_base_/recipes/pem_cityscapes_panoptic.py"]
model = _base_.model_settings
