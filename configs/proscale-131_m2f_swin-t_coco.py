# PRO-SCALE, (1,3,1), Swin-T, COCO panoptic, 16 x 368,750 steps; PQ 51.76 (PRO-SCALE, Table 7)
_base_ = ["_base_/models/proscale-131_m2f_swin-t.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
