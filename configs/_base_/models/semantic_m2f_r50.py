# mmseg's segmentor with backbone and head of m2f_r50.py.
_base_ = ["./m2f_r50.py", "./segmentor.py"]
head = dict(
    _base_.model.panoptic_head, type="mmproscale.MaskDecodeHead", train_cfg=_base_.model.train_cfg
)
model = dict(_base_.segmentor, _delete_=True, backbone=_base_.model.backbone, decode_head=head)
del head
