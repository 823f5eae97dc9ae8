# PRO-SCALE in DINO, (3,3,3,3), R50, COCO boxes, 16 x 88,716 steps; AP 49.4 (PRO-SCALE, Table T1)
_base_ = ["_base_/models/proscale_dino_r50.py", "_base_/recipes/coco_dino.py"]
