# PEM, STDC2, Cityscapes panoptic, the paper's recipe.
_base_ = ["./pem_m2f_r50_cityscapes.py", "_base_/backbones/stdc2.py"]
model = dict(
    backbone=_base_.backbone,
    panoptic_head=dict(in_channels=_base_.backbone_channels),
)
