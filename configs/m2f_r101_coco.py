# M2F, 6 layers, R101, COCO panoptic, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/m2f_r101.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
