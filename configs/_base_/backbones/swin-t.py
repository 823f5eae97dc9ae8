# Swin-T, pretrained on ImageNet-1k. A model takes both variables, and drops its ResNet.
official_weights = "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
backbone = dict(
    _delete_=True,
    type="mmdet.SwinTransformer",
    embed_dims=96,
    depths=[2, 2, 6, 2],
    num_heads=[3, 6, 12, 24],
    window_size=7,
    mlp_ratio=4,
    qkv_bias=True,
    drop_path_rate=0.3,
    patch_norm=True,
    out_indices=(0, 1, 2, 3),
    convert_weights=True,  # from the names of the official release
    init_cfg=dict(
        type="Pretrained", checkpoint=official_weights + "swin_tiny_patch4_window7_224.pth"
    ),
)
backbone_channels = [96, 192, 384, 768]
