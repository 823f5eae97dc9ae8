# M2F, 6 layers, R18, CamVid semantic, 4 x 20,000 steps; no published figure
_base_ = ["_base_/models/m2f_r18.py", "_base_/recipes/camvid_semantic.py"]
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.head)
model = dict(_base_.segmentor, backbone=_base_.model.backbone, decode_head=head)
