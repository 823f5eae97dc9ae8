# M2F, 6 layers, R50, COCO panoptic, 16 x 368,750 steps; PQ 51.73 (PRO-SCALE, Table 1)
_base_ = ["_base_/models/m2f_r50.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
