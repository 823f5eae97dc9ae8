# A small Mask2Former that trains from scratch on a CPU: ResNet-18, 64 channels. Its batch norms are
# trained: mmdet's start at zero in the residual branches, so frozen ones would never leave it.
_base_ = "./m2f_r50.py"
channels = 64
attention = dict(embed_dims=channels)
model = dict(
    backbone=dict(
        depth=18, norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False, init_cfg=None
    ),
    panoptic_head=dict(
        in_channels=[64, 128, 256, 512],
        feat_channels=channels,
        out_channels=channels,
        pixel_decoder=dict(
            norm_cfg=dict(num_groups=8),
            encoder=dict(
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    ffn_cfg=dict(embed_dims=channels, feedforward_channels=4 * channels),
                )
            ),
            positional_encoding=dict(num_feats=channels // 2),
        ),
        positional_encoding=dict(num_feats=channels // 2),
        transformer_decoder=dict(
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=channels, feedforward_channels=4 * channels),
            )
        ),
    ),
)
del channels, attention
