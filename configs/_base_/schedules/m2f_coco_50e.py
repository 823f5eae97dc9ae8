# Mask2Former's recipe on COCO: 50 epochs of batch 16, the rate divided by 10 twice near the end.
# Neither norms nor embeddings decay.
max_iters = 368750
interval = 5000
no_decay = dict(lr_mult=1.0, decay_mult=0.0)
# A custom key overrules norm_decay_mult, and the longest in a parameter's name counts. So these,
# for norms and position tables, are longer than "backbone", and are in no name of a head.
backbone_no_decay = [
    *("backbone.norm", "patch_embed.norm", "downsample.norm"),
    *(".norm1.weight", ".norm1.bias", ".norm2.weight", ".norm2.bias"),
    "relative_position_bias_table",  # Swin
    *("attn.norm_", "attn.rel_pos"),  # MViT
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
param_scheduler = dict(
    type="MultiStepLR",
    begin=0,
    end=max_iters,
    by_epoch=False,
    milestones=[327778, 355092],
    gamma=0.1,
)
train_cfg = dict(
    type="IterBasedTrainLoop",
    max_iters=max_iters,
    val_interval=interval,
    dynamic_intervals=[(max_iters // interval * interval + 1, max_iters)],
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
del no_decay, backbone_no_decay, max_iters, interval
