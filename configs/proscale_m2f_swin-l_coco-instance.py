# PRO-SCALE (3,3,3), Swin-L, COCO's instances, Mask2Former's recipe.
_base_ = ["./proscale_m2f_r50_coco-instance.py", "_base_/backbones/swin-l.py"]
model = dict(
    backbone=_base_.backbone,
    panoptic_head=dict(in_channels=_base_.backbone_channels, num_queries=200),
)
max_iters = 737500  # 100 epochs, where other backbones have 50
param_scheduler = dict(end=max_iters, milestones=[655556, 710184])
train_cfg = dict(max_iters=max_iters, dynamic_intervals=[(735001, max_iters)])
del max_iters
