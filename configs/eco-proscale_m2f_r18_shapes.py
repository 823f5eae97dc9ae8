# ECO on PRO-SCALE, (1,1,4), R18, Shapes panoptic, 4 x 2,500 steps; no published figure
# From scratch or from proscale_m2f_r18_shapes.py, with these layers; beta 0.01: docs/early_exit.md
_base_ = ["_base_/models/eco-proscale_m2f_r18.py", "_base_/recipes/shapes_panoptic.py"]
model = _base_.model_settings
model.panoptic_head.pixel_decoder = dict(encoder=dict(schedule=dict(repeats=(1, 1, 4))))
