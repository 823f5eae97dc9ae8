# Swin-L with windows of 12, pretrained on ImageNet-22k at 384 pixels.
_base_ = "./swin-t.py"
backbone = dict(
    pretrain_img_size=384,
    embed_dims=192,
    depths=[2, 2, 18, 2],
    num_heads=[6, 12, 24, 48],
    window_size=12,
    init_cfg=dict(checkpoint=_base_.official_weights + "swin_large_patch4_window12_384_22k.pth"),
)
backbone_channels = [192, 384, 768, 1536]
