# PRO-SCALE, (3,3,3), R18, CamVid panoptic, 4 x 20,000 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_r18.py", "_base_/recipes/camvid_panoptic.py"]
model = _base_.model_settings
