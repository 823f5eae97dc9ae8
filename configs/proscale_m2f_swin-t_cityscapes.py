# PRO-SCALE, (3,3,3), Swin-T, Cityscapes panoptic, 16 x 90,000 steps; PQ 63.06 (PRO-SCALE, Table 2)
_base_ = ["_base_/models/proscale_m2f_swin-t.py", "_base_/recipes/proscale_cityscapes_panoptic.py"]
model = _base_.model_settings
