# Lite-M2F, (5+1), Swin-T, COCO instances, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/lite_m2f_swin-t.py", "_base_/recipes/coco_instance.py"]
model = _base_.model_settings
