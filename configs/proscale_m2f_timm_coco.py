# PRO-SCALE, (3,3,3), timm, COCO panoptic, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_timm.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
