# mmseg's segmentor around the backbone and the head of a Mask2Former. Images of a test batch may
# have several sizes. It pads to the crop's size in training, and to multiples of 32 in tests on
# whole images. A semantic config puts a model of this folder into it:
# head = dict(_base_.model.panoptic_head, train_cfg=_base_.model.train_cfg, **_base_.head)
# model = dict(_base_.segmentor, backbone=_base_.model.backbone, decode_head=head)
segmentor = dict(
    _delete_=True,
    type="mmproscale.SemanticSegmentor",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        test_cfg=dict(size_divisor=32),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
head = dict(
    type="mmproscale.MaskDecodeHead",
    loss_cls=dict(
        type="mmdet.CrossEntropyLoss", use_sigmoid=False, loss_weight=2.0, reduction="mean"
    ),
)
