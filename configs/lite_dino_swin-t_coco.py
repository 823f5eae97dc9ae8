_base_ = ["./lite_dino_r50_coco.py", "_base_/backbones/swin-t.py"]
model = dict(
    backbone=dict(_delete_=True, **_base_.backbone | dict(out_indices=(1, 2, 3))),
    neck=dict(in_channels=_base_.backbone_channels[1:]),
)
