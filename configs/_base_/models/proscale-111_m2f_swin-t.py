_base_ = ["./proscale-111_m2f_r50.py", "../backbones/swin-t.py"]
model = dict(backbone=_base_.backbone, panoptic_head=dict(in_channels=_base_.backbone_channels))
