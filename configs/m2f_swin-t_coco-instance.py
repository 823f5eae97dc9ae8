# M2F, 6 layers, Swin-T, COCO instances, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/m2f_swin-t.py", "_base_/recipes/coco_instance.py"]
model = _base_.model_settings
