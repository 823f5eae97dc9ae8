# Lite-M2F with LPE, (5+1), Swin-T, COCO panoptic, 16 x 368,750 steps; PQ 52.32 (PRO-SCALE, Table 5)
_base_ = ["_base_/models/lite-lpe_m2f_swin-t.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
