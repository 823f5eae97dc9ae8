# Lite-ECO-M2F on Shapes: exits after layers 2 to 5, the sixth always runs. eco_m2f_r18_shapes.py
# says how.
_base_ = "./eco_m2f_r18_shapes.py"
schedule = dict(_delete_=True, type="lite", coarse_layers=5)
model = dict(panoptic_head=dict(pixel_decoder=dict(encoder=dict(schedule=schedule))))
del schedule
