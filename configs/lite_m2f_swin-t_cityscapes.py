# Lite-M2F, (5+1), Swin-T, Cityscapes panoptic, 16 x 90,000 steps; PQ 62.29 (PRO-SCALE, Table 2)
_base_ = ["_base_/models/lite_m2f_swin-t.py", "_base_/recipes/proscale_cityscapes_panoptic.py"]
model = _base_.model_settings
