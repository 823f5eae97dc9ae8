# STDC1, pretrained on ImageNet-1k by mmsegmentation's authors; its batch norms learn on.
backbone_channels = [64, 256, 512, 1024]
backbone = dict(
    _delete_=True,
    type="mmproscale.STDCNet",
    stdc_type="STDCNet1",
    in_channels=3,
    channels=(32, 64, 256, 512, 1024),
    bottleneck_type="cat",
    num_convs=4,
    norm_cfg=dict(type="BN", requires_grad=True),
    act_cfg=dict(type="ReLU"),
    with_final_conv=False,
    init_cfg=dict(
        type="Pretrained",
        checkpoint="https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/stdc/stdc1_20220308-5368626c.pth",
    ),
)
