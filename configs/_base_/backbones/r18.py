# ResNet-18, from scratch, and a Mask2Former small enough for a CPU: 64 channels, 3 decoder layers,
# 50 queries. Its batch norms are trained: mmdet's start at zero in the residual branches, so frozen
# ones would never leave it.
channels = 64
attention = dict(embed_dims=channels)
feedforward = dict(embed_dims=channels, feedforward_channels=4 * channels)
position = dict(num_feats=channels // 2)
small_model = dict(
    backbone=dict(
        depth=18, norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False, init_cfg=None
    ),
    panoptic_head=dict(
        in_channels=[64, 128, 256, 512],
        feat_channels=channels,
        out_channels=channels,
        num_queries=50,
        pixel_decoder=dict(
            norm_cfg=dict(num_groups=8),
            encoder=dict(layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=feedforward)),
            positional_encoding=position,
        ),
        positional_encoding=position,
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feedforward),
        ),
    ),
    train_cfg=dict(num_points=2048),
)
del channels, attention, feedforward, position
