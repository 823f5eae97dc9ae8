# Lite-DINO, (2+1)x2, R18, CamVid boxes, 2 x 3,000 steps; no published figure
_base_ = ["_base_/models/lite_dino_r18.py", "_base_/recipes/camvid_detection.py"]
model = _base_.model_settings
