# A small Lite-DINO, (2+1)x2: twice one layer over strides 64 to 16 and one over all.
_base_ = "./dino_r18.py"
schedule = dict(
    _delete_=True, type="lite", levels=(64, 32, 16, 8), coarse_layers=1, blocks=2, fine_channels=256
)
model = dict(encoder=dict(schedule=schedule))
del schedule
