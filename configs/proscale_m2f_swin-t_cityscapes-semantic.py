# PRO-SCALE (3,3,3), Swin-T, Cityscapes semantic, the recipe of mmseg's Mask2Former.
_base_ = ["./proscale_m2f_r50_cityscapes-semantic.py", "_base_/backbones/swin-t.py"]
model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.backbone_channels),
)
