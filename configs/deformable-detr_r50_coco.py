# Deformable DETR, 6 layers, R50, COCO boxes, 32 x 184,850 steps; no published figure
_base_ = ["_base_/models/deformable_detr_r50.py", "_base_/recipes/coco_deformable-detr.py"]
