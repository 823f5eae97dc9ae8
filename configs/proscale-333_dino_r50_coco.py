# PRO-SCALE in DINO, (3,3,3) from 64 and 32, R50, COCO boxes, 16 x 88,716 steps; no published figure
_base_ = ["_base_/models/proscale_dino_r50.py", "_base_/recipes/coco_dino.py"]
model = dict(encoder=dict(schedule=dict(repeats=(3, 3, 3), levels=((64, 32), 16, 8))))
