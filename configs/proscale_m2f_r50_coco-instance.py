# PRO-SCALE, (3,3,3), R50, COCO instances, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_r50.py", "_base_/recipes/coco_instance.py"]
model = _base_.model_settings
