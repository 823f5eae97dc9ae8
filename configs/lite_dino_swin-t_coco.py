_base_ = ["./lite_dino_r50_coco.py", "_base_/backbones/swin-t.py"]
swin = dict(out_indices=(1, 2, 3), drop_path_rate=0.2)  # as DINO's authors train Swin
model = dict(
    backbone=dict(_base_.backbone, **swin),
    neck=dict(in_channels=_base_.backbone_channels[1:]),
)
del swin
