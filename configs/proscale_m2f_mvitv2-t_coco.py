# PRO-SCALE (3,3,3), MViTv2-T, COCO panoptic, Mask2Former's recipe.
_base_ = ["./proscale_m2f_r50_coco.py", "_base_/backbones/mvitv2-t.py"]
custom_imports = dict(imports=["mmproscale", "mmpretrain.models"])
model = dict(
    backbone=_base_.backbone,
    panoptic_head=dict(in_channels=_base_.backbone_channels),
)
