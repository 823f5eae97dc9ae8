# ECO-M2F, 6 layers, Swin-T, Cityscapes panoptic, 16 x 90,000 steps; PQ 64.18 (ECO-M2F, Table 2)
# Starts from a checkpoint of m2f_swin-t_cityscapes.py; beta 0.003 (docs/early_exit.md).
_base_ = ["_base_/models/eco_m2f_swin-t.py", "_base_/recipes/cityscapes_panoptic.py"]
model = _base_.model_settings
