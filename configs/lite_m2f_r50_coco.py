# Lite-M2F, (5+1), R50, COCO panoptic, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/lite_m2f_r50.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
