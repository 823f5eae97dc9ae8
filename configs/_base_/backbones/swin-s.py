# Swin-S: Swin-T with a third stage of 18 blocks, pretrained on ImageNet-1k.
_base_ = "./swin-t.py"
backbone = dict(
    depths=[2, 2, 18, 2],
    init_cfg=dict(checkpoint=_base_.official_weights + "swin_small_patch4_window7_224.pth"),
)
