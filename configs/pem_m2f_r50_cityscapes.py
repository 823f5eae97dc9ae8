# PEM, convolutions, R50, Cityscapes panoptic, 32 x 90,000 steps; PQ 61.1 (PEM, Table 1)
_base_ = ["_base_/models/pem_m2f_r50.py", "_base_/recipes/pem_cityscapes_panoptic.py"]
model = dict(_base_.model_settings, backbone=_base_.trained_norms)
