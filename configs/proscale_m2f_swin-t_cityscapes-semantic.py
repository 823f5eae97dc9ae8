# PRO-SCALE, (3,3,3), Swin-T, Cityscapes semantic, 16 x 90,000 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_swin-t.py", "_base_/recipes/cityscapes_semantic.py"]
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.head)
model = dict(_base_.segmentor, backbone=_base_.model.backbone, decode_head=head)
