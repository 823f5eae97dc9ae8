# ECO-M2F, 6 layers, R18, CamVid panoptic, 4 x 20,000 steps; no published figure
# Starts from a checkpoint of m2f_r18_camvid.py; beta 0.01 (docs/early_exit.md).
_base_ = ["_base_/models/eco_m2f_r18.py", "_base_/recipes/camvid_panoptic.py"]
model = _base_.model_settings
