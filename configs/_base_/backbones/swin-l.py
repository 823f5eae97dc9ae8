# Swin-L: Swin-B, wider, pretrained on ImageNet-22k at 384 pixels. Its models have 200 queries.
_base_ = "./swin-b.py"
backbone = dict(
    embed_dims=192,
    num_heads=[6, 12, 24, 48],
    init_cfg=dict(
        checkpoint="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
        "swin_large_patch4_window12_384_22k.pth"
    ),
)
backbone_channels = [192, 384, 768, 1536]
