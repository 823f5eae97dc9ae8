# PRO-SCALE in DINO, (1,1,1) from 64 and 32, R18, Shapes boxes, 2 x 2,000 steps; no published figure
_base_ = ["_base_/models/dino_r18.py", "_base_/recipes/shapes_detection.py"]
schedule = dict(_delete_=True, type="pro_scale", repeats=(1, 1, 1), levels=((64, 32), 16, 8))
model = _base_.model_settings
model.update(encoder=dict(schedule=schedule), recalibration=dict(_delete_=True, type="TRC"))
del schedule
