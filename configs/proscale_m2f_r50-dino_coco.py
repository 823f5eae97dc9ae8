# PRO-SCALE (3,3,3), ResNet-50 pretrained by DINO, COCO panoptic.
_base_ = ["./proscale_m2f_r50_coco.py", "_base_/backbones/r50-dino.py"]
model = dict(backbone=_base_.backbone)
