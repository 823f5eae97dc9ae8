# Lite-DINO, (6+1)x1, Swin-T, COCO boxes, 16 x 88,716 steps; no published figure
_base_ = [
    "_base_/models/lite_dino_r50.py",
    "_base_/backbones/swin-t-dino.py",
    "_base_/recipes/coco_dino.py",
]
model = dict(backbone=_base_.backbone, neck=_base_.neck)
