# Lite-ECO-M2F, (5+1), Swin-T, Cityscapes panoptic, 16 x 90,000 steps; PQ 62.64 (ECO-M2F, Table 2)
# Starts from a checkpoint of lite_m2f_swin-t_cityscapes.py; beta 0.003 (docs/early_exit.md).
_base_ = ["_base_/models/eco-lite_m2f_swin-t.py", "_base_/recipes/cityscapes_panoptic.py"]
model = _base_.model_settings
