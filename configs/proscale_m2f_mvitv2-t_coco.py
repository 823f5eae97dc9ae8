# PRO-SCALE, (3,3,3), MViTv2-T, COCO panoptic, 16 x 368,750 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_mvitv2-t.py", "_base_/recipes/coco_panoptic.py"]
custom_imports = dict(imports=["mmproscale", "mmpretrain.models"])
model = _base_.model_settings
