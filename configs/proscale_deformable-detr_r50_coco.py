# PRO-SCALE in Deformable DETR, (3,3,3,3), R50, COCO boxes, 32 x 184,850 steps; no published figure
_base_ = [
    "_base_/models/deformable_detr_r50.py",
    "_base_/methods/proscale_detr.py",
    "_base_/recipes/coco_deformable-detr.py",
]
model = _base_.method
