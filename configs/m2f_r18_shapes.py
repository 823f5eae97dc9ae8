# M2F, 3 layers, R18, Shapes panoptic, 4 x 2,500 steps; no published figure
_base_ = ["_base_/models/m2f_r18.py", "_base_/recipes/shapes_panoptic.py"]
model = _base_.model_settings
model.panoptic_head.pixel_decoder = dict(encoder=dict(schedule=dict(layers=3)))
