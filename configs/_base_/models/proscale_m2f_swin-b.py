_base_ = ["./proscale_m2f_r50.py", "../backbones/swin-b.py"]
model = dict(backbone=_base_.backbone, panoptic_head=dict(in_channels=_base_.backbone_channels))
