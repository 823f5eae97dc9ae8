# DETR with ResNet-50 at the published size: 6 encoder layers over stride 32, 6 decoder layers, 100
# queries. mmdet's detr_r50, key for key.
channels = 256
attention = dict(embed_dims=channels, num_heads=8, dropout=0.1, batch_first=True)
feedforward = dict(
    embed_dims=channels,
    feedforward_channels=2048,
    num_fcs=2,
    ffn_drop=0.1,
    act_cfg=dict(type="ReLU", inplace=True),
)
model = dict(
    type="mmproscale.EarlyExitDETR",
    num_queries=100,
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(3,),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels=[2048],
        kernel_size=1,
        out_channels=channels,
        act_cfg=None,
        norm_cfg=None,
        num_outs=1,
    ),
    encoder=dict(num_layers=6, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=feedforward)),
    decoder=dict(
        num_layers=6,
        return_intermediate=True,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feedforward),
    ),
    positional_encoding=dict(num_feats=channels // 2, normalize=True),
    bbox_head=dict(
        type="mmdet.DETRHead",
        num_classes=80,
        embed_dims=channels,
        loss_cls=dict(
            type="mmdet.CrossEntropyLoss",
            bg_cls_weight=0.1,
            use_sigmoid=False,
            loss_weight=1.0,
            class_weight=1.0,
        ),
        loss_bbox=dict(type="mmdet.L1Loss", loss_weight=5.0),
        loss_iou=dict(type="mmdet.GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type="mmdet.HungarianAssigner",
            match_costs=[
                dict(type="mmdet.ClassificationCost", weight=1.0),
                dict(type="mmdet.BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="mmdet.IoUCost", iou_mode="giou", weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=100),
)
del channels, attention, feedforward
