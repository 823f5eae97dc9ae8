# PRO-SCALE in DINO, (3,3,3,3), Swin-T, COCO boxes, 16 x 88,716 steps; no published figure
_base_ = ["_base_/models/proscale_dino_swin-t.py", "_base_/recipes/coco_dino.py"]
