# Mask2Former's optimizer: the pretrained backbone learns at a tenth of the rate, and neither norms
# nor embeddings decay. A schedule adds its length and takes one of the falls of the rate.
no_decay = dict(lr_mult=1.0, decay_mult=0.0)
# A custom key overrules norm_decay_mult, and the longest in a parameter's name counts. So these,
# for norms and position tables, are longer than "backbone", and are in no name of a head.
backbone_no_decay = [
    *("backbone.norm", "patch_embed.norm", "downsample.norm"),
    *(".norm1.weight", ".norm1.bias", ".norm2.weight", ".norm2.bias"),
    "relative_position_bias_table",  # Swin
    *("attn.norm_", "attn.rel_pos"),  # MViT
    *(f".bn{index}.{name}" for index in (1, 2, 3) for name in ("weight", "bias")),  # ResNet
    "downsample.1.",
    *("stages.0.bn", "stages.1.bn", "downsample.bn"),  # STDC
    *(f"layers.{index}.bn" for index in range(4)),
    *(f"blocks.{index}.norm." for index in range(27)),  # timm's ConvNeXt
    *("backbone.stem.1.", *(f"stages.{index}.downsample.0." for index in (1, 2, 3))),
]
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)),
    paramwise_cfg=dict(
        custom_keys={
            "backbone": dict(lr_mult=0.1, decay_mult=1.0),
            **{key: dict(lr_mult=0.1, decay_mult=0.0) for key in backbone_no_decay},
            "query_embed": no_decay,
            "query_feat": no_decay,
            "level_embed": no_decay,
            "level_encoding": no_decay,
        },
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
polynomial = dict(type="PolyLR", power=0.9, eta_min=0.0, begin=0, by_epoch=False)
two_falls = dict(type="MultiStepLR", begin=0, by_epoch=False, gamma=0.1)
del no_decay, backbone_no_decay
