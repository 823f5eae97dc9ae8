# Mask2Former's optimizer: the pretrained backbone learns at a tenth of the rate, and neither norms
# nor embeddings decay. A schedule adds its length and takes one of the falls of the rate.
no_decay = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="mmproscale.NormDecayConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)),
    paramwise_cfg=dict(
        custom_keys={
            "backbone": dict(lr_mult=0.1),
            "relative_position_bias_table": dict(lr_mult=0.1, decay_mult=0.0),  # Swin
            "attn.rel_pos": dict(lr_mult=0.1, decay_mult=0.0),  # MViT
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
del no_decay
