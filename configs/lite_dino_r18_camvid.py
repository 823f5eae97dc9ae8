# Lite-DINO, (2+1)x2, R18, CamVid boxes, 2 x 3,000 steps; no published figure
# Twice one layer over strides 64 to 16 and one over all.
_base_ = ["_base_/models/dino_r18.py", "_base_/recipes/camvid_detection.py"]
schedule = dict(
    _delete_=True, type="lite", levels=(64, 32, 16, 8), coarse_layers=1, blocks=2, fine_channels=256
)
model = dict(encoder=dict(schedule=schedule), **_base_.model_settings)
del schedule
