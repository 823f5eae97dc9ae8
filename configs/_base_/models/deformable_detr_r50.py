# Deformable DETR with ResNet-50, two stages, refined boxes and a scheduled encoder, at published
# size: 6 encoder layers over strides 64, 32, 16 and 8, 6 decoder layers, 300 queries. mmdet's
# deformable-detr-refine-twostage, key for key.
channels = 256
attention = dict(embed_dims=channels, dropout=0.1)
feedforward = dict(embed_dims=channels, feedforward_channels=1024, ffn_drop=0.1)

model = dict(
    type="mmproscale.ScheduledDeformableDETR",
    num_queries=300,
    num_feature_levels=4,
    strides=(8, 16, 32, 64),
    recalibration=None,  # PRO-SCALE has one
    with_box_refine=True,
    as_two_stage=True,
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
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels=[512, 1024, 2048],
        kernel_size=1,
        out_channels=channels,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        num_outs=4,
    ),
    encoder=dict(
        schedule=dict(type="m2f", layers=6, levels=(64, 32, 16, 8)),
        layer_cfg=dict(self_attn_cfg=dict(attention, num_levels=4), ffn_cfg=feedforward),
    ),
    decoder=dict(
        num_layers=6,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(attention, num_heads=8),
            cross_attn_cfg=dict(attention, num_levels=4),
            ffn_cfg=feedforward,
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(
        num_feats=channels // 2, normalize=True, offset=-0.5, temperature=10000
    ),
    bbox_head=dict(
        type="mmdet.DeformableDETRHead",
        num_classes=80,
        sync_cls_avg_factor=True,
        loss_cls=dict(
            type="mmdet.FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0
        ),
        loss_bbox=dict(type="mmdet.L1Loss", loss_weight=5.0),
        loss_iou=dict(type="mmdet.GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type="mmdet.HungarianAssigner",
            match_costs=[
                dict(type="mmdet.FocalLossCost", weight=2.0),
                dict(type="mmdet.BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="mmdet.IoUCost", iou_mode="giou", weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=100),
)
del channels, attention, feedforward
