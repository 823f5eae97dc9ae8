# M2F, 6 layers, Swin-S, COCO panoptic, 16 x 368,750 steps; PQ 54.63 (ECO-M2F, Table 6)
_base_ = ["_base_/models/m2f_swin-s.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
