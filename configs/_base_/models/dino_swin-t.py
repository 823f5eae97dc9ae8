_base_ = ["./dino_r50.py", "../backbones/swin-t-dino.py"]
model = dict(backbone=_base_.backbone, neck=_base_.neck)
