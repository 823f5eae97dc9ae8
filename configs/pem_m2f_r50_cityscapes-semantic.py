# PEM, convolutions, R50, Cityscapes semantic, 32 x 90,000 steps; mIoU 79.9 (PEM, Table 3)
_base_ = ["_base_/models/pem_m2f_r50.py", "_base_/recipes/pem_cityscapes_semantic.py"]
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.head)
_base_.model.backbone.update(_base_.trained_norms)
model = dict(_base_.segmentor, backbone=_base_.model.backbone, decode_head=head)
