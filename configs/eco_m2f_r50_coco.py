# ECO-M2F, 6 layers, R50, COCO panoptic, 16 x 368,750 steps; PQ 51.89 (ECO-M2F, Table 1)
# Starts from a checkpoint of m2f_r50_coco.py; beta 0.0005 (docs/early_exit.md).
_base_ = ["_base_/models/eco_m2f_r50.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
