# M2F, 6 layers, MViTv2-T, COCO panoptic, 16 x 368,750 steps; PQ 54.11 (PRO-SCALE, Table 6)
_base_ = ["_base_/models/m2f_mvitv2-t.py", "_base_/recipes/coco_panoptic.py"]
custom_imports = dict(imports=["mmproscale", "mmpretrain.models"])
model = _base_.model_settings
