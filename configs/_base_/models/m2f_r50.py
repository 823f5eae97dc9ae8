# Mask2Former with ResNet-50 and our pixel decoder, at the published size: 6 encoder layers over
# strides 32, 16 and 8, 9 decoder layers, 100 queries. Class counts come from the dataset.
channels = 256
heads = 8
norm_cfg = dict(type="GN", num_groups=32)
attention = dict(embed_dims=channels, num_heads=heads, dropout=0.0, batch_first=True)
position = dict(num_feats=channels // 2, normalize=True)
feedforward = dict(
    embed_dims=channels, num_fcs=2, ffn_drop=0.0, act_cfg=dict(type="ReLU", inplace=True)
)

model = dict(
    type="mmproscale.UniversalSegmentor",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
        mask_pad_value=0,
        pad_seg=True,
        seg_pad_value=255,
    ),
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    panoptic_head=dict(
        type="mmproscale.PanopticHead",
        in_channels=[256, 512, 1024, 2048],
        strides=[4, 8, 16, 32],
        feat_channels=channels,
        out_channels=channels,
        num_queries=100,
        num_transformer_feat_level=3,
        pixel_decoder=dict(
            type="mmproscale.DeformablePixelDecoder",
            num_outs=3,
            norm_cfg=norm_cfg,
            act_cfg=dict(type="ReLU"),
            encoder=dict(
                schedule=dict(type="m2f", layers=6),
                layer_cfg=dict(
                    self_attn_cfg=dict(attention, num_levels=3, num_points=4),
                    ffn_cfg=dict(feedforward, feedforward_channels=1024),
                ),
            ),
            positional_encoding=position,
        ),
        enforce_decoder_input_project=False,
        positional_encoding=position,
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=9,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(feedforward, feedforward_channels=2048),
            ),
            init_cfg=None,
        ),
        loss_cls=dict(
            type="mmdet.CrossEntropyLoss", use_sigmoid=False, loss_weight=2.0, reduction="mean"
        ),
        loss_mask=dict(
            type="mmdet.CrossEntropyLoss", use_sigmoid=True, reduction="mean", loss_weight=5.0
        ),
        loss_dice=dict(
            type="mmdet.DiceLoss",
            use_sigmoid=True,
            activate=True,
            reduction="mean",
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
    ),
    panoptic_fusion_head=dict(
        type="mmproscale.UniversalFusionHead", loss_panoptic=None, init_cfg=None
    ),
    train_cfg=dict(
        num_points=12544,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
        assigner=dict(
            type="mmdet.HungarianAssigner",
            match_costs=[
                dict(type="mmdet.ClassificationCost", weight=2.0),
                dict(type="mmdet.CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
                dict(type="mmdet.DiceCost", weight=5.0, pred_act=True, eps=1.0),
            ],
        ),
        sampler=dict(type="mmdet.MaskPseudoSampler"),
    ),
    # filter_low_score drops mask pixels under 0.5, as Mask2Former's own fusion does.
    test_cfg=dict(
        panoptic_on=True,
        semantic_on=False,
        instance_on=False,
        max_per_image=100,
        object_mask_thr=0.8,
        iou_thr=0.8,
        filter_low_score=True,
    ),
    init_cfg=None,
)
del channels, heads, norm_cfg, attention, position, feedforward
