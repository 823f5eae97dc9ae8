# PRO-SCALE, (3,3,3), timm, ADE20K semantic, 16 x 160,000 steps; no published figure
_base_ = ["_base_/models/proscale_m2f_timm.py", "_base_/recipes/ade20k_semantic.py"]
head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.head)
model = dict(_base_.segmentor, backbone=_base_.model.backbone, decode_head=head)
model["data_preprocessor"].update(_base_.timm_parts.data_preprocessor)
