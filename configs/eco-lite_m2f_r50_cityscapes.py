# Lite-ECO-M2F: exits after layers 2 to 5, the sixth always runs. Step A starts from a Lite-M2F;
# eco_m2f_r50_cityscapes.py says how.
_base_ = "./eco_m2f_r50_cityscapes.py"
schedule = dict(_delete_=True, type="lite", coarse_layers=5)
model = dict(panoptic_head=dict(pixel_decoder=dict(encoder=dict(schedule=schedule))))
del schedule
