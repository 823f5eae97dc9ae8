# DINO, 6 layers, R50, COCO boxes, 16 x 88,716 steps; AP 49.0 (PRO-SCALE, Table T1)
_base_ = ["_base_/models/dino_r50.py", "_base_/recipes/coco_dino.py"]
