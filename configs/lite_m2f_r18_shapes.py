# Lite-M2F on Shapes: two layers update strides 32 and 16, a last one all.
_base_ = "./m2f_r18_shapes.py"
schedule = dict(_delete_=True, type="lite", coarse_layers=2)
model = dict(panoptic_head=dict(pixel_decoder=dict(encoder=dict(schedule=schedule))))
del schedule
