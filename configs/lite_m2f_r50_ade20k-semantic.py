# Lite-M2F, (5+1), R50, ADE20K semantic, 16 x 160,000 steps; no published figure
_base_ = ["_base_/models/lite_m2f_r50.py", "_base_/recipes/ade20k_semantic.py"]
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.head)
model = dict(_base_.segmentor, backbone=_base_.model.backbone, decode_head=head)
