# Lite-DINO on Shapes: two layers update strides 64 to 16, a last one all.
_base_ = "./dino_r18_shapes.py"
schedule = dict(
    _delete_=True, type="lite", levels=(64, 32, 16, 8), coarse_layers=2, fine_channels=256
)
model = dict(encoder=dict(schedule=schedule))
del schedule
