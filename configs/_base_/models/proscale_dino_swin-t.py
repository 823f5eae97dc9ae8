_base_ = ["./dino_r50.py", "../methods/proscale_detr.py", "../backbones/swin-t-dino.py"]
model = dict(_base_.method, backbone=_base_.backbone, neck=_base_.neck)
