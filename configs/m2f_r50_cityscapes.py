# M2F, 6 layers, R50, Cityscapes panoptic, 16 x 90,000 steps; PQ 61.86 (PRO-SCALE, Table 2)
_base_ = ["_base_/models/m2f_r50.py", "_base_/recipes/cityscapes_panoptic.py"]
model = dict(_base_.model_settings, backbone=_base_.trained_norms)
