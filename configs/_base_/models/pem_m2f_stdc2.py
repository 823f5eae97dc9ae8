_base_ = ["./pem_m2f_r50.py", "../backbones/stdc2.py"]
model = dict(backbone=_base_.backbone, panoptic_head=dict(in_channels=_base_.backbone_channels))
