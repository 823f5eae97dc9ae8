# DETR, 6 layers, R50, COCO boxes, 16 x 1,108,950 steps; AP 42.0 (ECO-M2F, Table 7)
_base_ = ["_base_/models/detr_r50.py", "_base_/recipes/coco_detr.py"]
