# PEM, STDC1, ADE20K panoptic, the paper's recipe.
_base_ = ["./pem_m2f_r50_ade20k.py", "_base_/backbones/stdc1.py"]
model = dict(
    backbone=_base_.backbone,
    panoptic_head=dict(in_channels=_base_.backbone_channels),
)
