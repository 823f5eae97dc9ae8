# ECO on PRO-SCALE, (3,3,3), Swin-T, Cityscapes panoptic, 16 x 90,000 steps; no published figure
# Starts from a checkpoint of proscale_m2f_swin-t_cityscapes.py; beta 0.003 (docs/early_exit.md).
_base_ = [
    "_base_/models/eco-proscale_m2f_swin-t.py",
    "_base_/recipes/proscale_cityscapes_panoptic.py",
]
model = _base_.model_settings
