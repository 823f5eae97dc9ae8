# PRO-SCALE, (1,1,1), Swin-T, COCO panoptic, 16 x 368,750 steps; PQ 50.79 (PRO-SCALE, Table 1)
_base_ = ["_base_/models/proscale-111_m2f_swin-t.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
