# DETR, 6 layers, R18, Shapes boxes, 2 x 3,000 steps; no published figure
# From scratch DETR learns slowly: DINO's configs are those to begin with.
_base_ = [
    "_base_/models/detr_r18.py",
    "_base_/datasets/shapes_detection.py",
    "_base_/schedules/detr_from_scratch_3k.py",
    "_base_/default_runtime.py",
]
model = _base_.model_settings
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=1))
