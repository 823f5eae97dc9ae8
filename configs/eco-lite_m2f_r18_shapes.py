# Lite-ECO-M2F, (5+1), R18, Shapes panoptic, 4 x 2,500 steps; no published figure
# From scratch or from lite_m2f_r18_shapes.py, with these layers; beta 0.01: docs/early_exit.md
_base_ = ["_base_/models/eco-lite_m2f_r18.py", "_base_/recipes/shapes_panoptic.py"]
model = _base_.model_settings
