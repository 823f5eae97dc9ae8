# PRO-SCALE (3,3,3), ResNet-101, COCO panoptic, Mask2Former's recipe.
_base_ = ["./proscale_m2f_r50_coco.py", "_base_/backbones/r101.py"]
model = dict(backbone=_base_.backbone)
