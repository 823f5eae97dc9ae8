# M2F, 6 layers, Swin-T, COCO panoptic, 16 x 368,750 steps; PQ 52.03 (PRO-SCALE, Table 1)
_base_ = ["_base_/models/m2f_swin-t.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
