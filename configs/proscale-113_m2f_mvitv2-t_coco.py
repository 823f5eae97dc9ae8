# PRO-SCALE, (1,1,3), MViTv2-T, COCO panoptic, 16 x 368,750 steps; PQ 53.70 (PRO-SCALE, Table 6)
_base_ = ["_base_/models/proscale-113_m2f_mvitv2-t.py", "_base_/recipes/coco_panoptic.py"]
custom_imports = dict(imports=["mmproscale", "mmpretrain.models"])
model = _base_.model_settings
