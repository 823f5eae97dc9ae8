# Lite-DINO, (6+1)x1, R50, COCO boxes, 16 x 88,716 steps; no published figure
# Five layers update strides 64 to 16, a last one all; stride 8 has a feed-forward of its own
# (Lite-DETR, without key-aware attention).
_base_ = ["_base_/models/dino_r50.py", "_base_/recipes/coco_dino.py"]
schedule = dict(
    _delete_=True, type="lite", levels=(64, 32, 16, 8), coarse_layers=5, fine_channels=256
)
model = dict(encoder=dict(schedule=schedule))
del schedule
