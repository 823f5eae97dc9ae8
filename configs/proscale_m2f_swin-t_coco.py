# PRO-SCALE (3,3,3), Swin-T, COCO panoptic, Mask2Former's recipe.
_base_ = "./proscale_m2f_r50_coco.py"
depths = [2, 2, 6, 2]
model = dict(
    backbone=dict(
        _delete_=True,
        type="SwinTransformer",
        embed_dims=96,
        depths=depths,
        num_heads=[3, 6, 12, 24],
        window_size=7,
        mlp_ratio=4,
        qkv_bias=True,
        drop_path_rate=0.3,
        patch_norm=True,
        out_indices=(0, 1, 2, 3),
        convert_weights=True,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
            "swin_tiny_patch4_window7_224.pth",
        ),
    ),
    panoptic_head=dict(in_channels=[96, 192, 384, 768]),
)
# A custom key overrules norm_decay_mult: the backbone's norms and position tables, one by one.
backbone_no_decay = dict(lr_mult=0.1, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            "backbone.patch_embed.norm": backbone_no_decay,
            "backbone.norm": backbone_no_decay,
            "relative_position_bias_table": backbone_no_decay,
            **{
                f"backbone.stages.{stage}.blocks.{block}.norm": backbone_no_decay
                for stage, num_blocks in enumerate(depths)
                for block in range(num_blocks)
            },
            **{
                f"backbone.stages.{stage}.downsample.norm": backbone_no_decay
                for stage in range(len(depths) - 1)
            },
        }
    )
)
del depths, backbone_no_decay
