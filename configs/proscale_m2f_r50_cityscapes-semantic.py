# PRO-SCALE, (3,3,3), R50, Cityscapes semantic, 16 x 90,000 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_r50.py", "_base_/recipes/cityscapes_semantic.py"]
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.decode_head)
model = dict(
    _base_.segmentor, backbone=dict(_base_.model.backbone, **_base_.trained_norms), decode_head=head
)
del head
