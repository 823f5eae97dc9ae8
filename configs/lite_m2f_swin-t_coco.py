# Lite-M2F, (5+1), Swin-T, COCO panoptic, 16 x 368,750 steps; PQ 52.70 (PRO-SCALE, Table 1)
_base_ = ["_base_/models/lite_m2f_swin-t.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
