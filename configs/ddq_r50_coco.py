# DDQ, 6 layers, R50, COCO boxes, 16 x 88,716 steps; no published figure
_base_ = ["_base_/models/ddq_r50.py", "_base_/recipes/coco_ddq.py"]
