# Lite-DINO, (2+1)x3, Swin-T, COCO boxes, 16 x 88,716 steps; no published figure
# Three times one layer over strides 64 to 16 and one over all.
_base_ = ["_base_/models/lite_dino_swin-t.py", "_base_/recipes/coco_dino.py"]
model = dict(encoder=dict(schedule=dict(coarse_layers=1, blocks=3)))
