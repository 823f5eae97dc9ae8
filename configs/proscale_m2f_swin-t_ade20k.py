# PRO-SCALE (3,3,3), Swin-T, ADE20K panoptic, Mask2Former's recipe.
_base_ = ["./proscale_m2f_r50_ade20k.py", "_base_/backbones/swin-t.py"]
model = dict(
    backbone=_base_.backbone,
    panoptic_head=dict(in_channels=_base_.backbone_channels),
)
