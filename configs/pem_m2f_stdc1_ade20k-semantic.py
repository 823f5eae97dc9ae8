# PEM, convolutions, STDC1, ADE20K semantic, 32 x 160,000 steps; mIoU 39.6 (PEM, Table 4)
_base_ = ["_base_/models/pem_m2f_stdc1.py", "_base_/recipes/pem_ade20k_semantic.py"]
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.head)
model = dict(_base_.segmentor, backbone=_base_.model.backbone, decode_head=head)
