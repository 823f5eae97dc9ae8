# One rate for the whole network, since nothing is pretrained; neither norms nor embeddings decay.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="mmproscale.NormDecayConstructor",
    # Fused, the update takes a fifth of the time on a CPU.
    optimizer=dict(type="AdamW", lr=6e-4, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(
        custom_keys={
            "query_embed": no_decay,
            "query_feat": no_decay,
            "level_embed": no_decay,
            "level_encoding": no_decay,
            "relative_position_bias_table": no_decay,  # Swin
        },
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
auto_scale_lr = dict(enable=False, base_batch_size=4)
del no_decay
