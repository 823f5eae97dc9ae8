# ECO on PRO-SCALE, (3,3,3), R50, COCO panoptic, 16 x 368,750 steps; no published figure
# Starts from a checkpoint of proscale_m2f_r50_coco.py; beta 0.0005 (docs/early_exit.md).
_base_ = ["_base_/models/eco-proscale_m2f_r50.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
