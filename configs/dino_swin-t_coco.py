# DINO, 6 layers, Swin-T, COCO boxes, 16 x 88,716 steps; no published figure
_base_ = ["./dino_r50_coco.py", "_base_/backbones/swin-t-dino.py"]
model = dict(backbone=_base_.backbone, neck=_base_.neck)
