# ECO on PRO-SCALE, (3,3,3), R50, Cityscapes panoptic, 16 x 90,000 steps; no published figure
# Starts from a checkpoint of proscale_m2f_r50_cityscapes.py; beta 0.003 (docs/early_exit.md).
_base_ = ["_base_/models/eco-proscale_m2f_r50.py", "_base_/recipes/proscale_cityscapes_panoptic.py"]
model = dict(_base_.model_settings, backbone=_base_.trained_norms)
