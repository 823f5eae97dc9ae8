# Lite-ECO-M2F, (5+1), Swin-T, COCO panoptic, 16 x 368,750 steps; PQ 52.84 (ECO-M2F, Table 1)
# Starts from a checkpoint of lite_m2f_swin-t_coco.py; beta 0.0005 (docs/early_exit.md).
_base_ = ["_base_/models/eco-lite_m2f_swin-t.py", "_base_/recipes/coco_panoptic.py"]
model = _base_.model_settings
