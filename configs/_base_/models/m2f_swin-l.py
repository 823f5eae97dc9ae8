_base_ = ["./m2f_r50.py", "../backbones/swin-l.py"]
head = dict(in_channels=_base_.backbone_channels, num_queries=200)
model = dict(backbone=_base_.backbone, panoptic_head=head)
del head
