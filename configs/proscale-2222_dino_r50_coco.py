# PRO-SCALE in DINO, (2,2,2,2), R50, COCO boxes, 16 x 88,716 steps; no published figure
_base_ = ["_base_/models/proscale_dino_r50.py", "_base_/recipes/coco_dino.py"]
model = dict(encoder=dict(schedule=dict(repeats=(2, 2, 2, 2))))
