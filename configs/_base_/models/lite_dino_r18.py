# Lite-DINO (2+1)x2: twice one layer over strides 64 to 16 and one over all.
_base_ = ["./dino_r50.py", "../backbones/r18-dino.py"]
model = _base_.small_dino
model.encoder.schedule = dict(
    _delete_=True, type="lite", levels=(64, 32, 16, 8), coarse_layers=1, blocks=2, fine_channels=256
)
