# M2F, 6 layers, Swin-T, Cityscapes panoptic, 16 x 90,000 steps; PQ 64.00 (PRO-SCALE, Table 2)
_base_ = ["_base_/models/m2f_swin-t.py", "_base_/recipes/cityscapes_panoptic.py"]
model = _base_.model_settings
