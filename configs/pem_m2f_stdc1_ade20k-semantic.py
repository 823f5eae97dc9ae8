# PEM, STDC1, ADE20K semantic, the paper's recipe.
_base_ = ["./pem_m2f_r50_ade20k-semantic.py", "_base_/backbones/stdc1.py"]
model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.backbone_channels),
)
