# PRO-SCALE, (3,3,3), R50 by DINO, COCO panoptic, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_r50-dino.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
