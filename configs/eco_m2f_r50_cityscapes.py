# ECO-M2F, 6 layers, R50, Cityscapes panoptic, 16 x 90,000 steps; PQ 62.20 (ECO-M2F, Table 2)
# Starts from a checkpoint of m2f_r50_cityscapes.py; beta 0.003 (docs/early_exit.md).
_base_ = ["_base_/models/eco_m2f_r50.py", "_base_/recipes/cityscapes_panoptic.py"]
model = dict(_base_.model_settings, backbone=_base_.trained_norms)
