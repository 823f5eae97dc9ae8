# MViTv2-T, pretrained on ImageNet-1k. It is mmpretrain's, which a config with it has to import, and
# attends over whole maps: at 800x1088 it costs 273 GMACs, where the paper's total leaves some 90 to
# a backbone (detection variants attend within windows), and the memory that goes with it.
backbone = dict(
    _delete_=True,
    type="mmpretrain.MViT",
    arch="tiny",
    out_scales=[0, 1, 2, 3],
    drop_path_rate=0.2,  # its authors' for detection
    init_cfg=dict(
        type="Pretrained",
        checkpoint="https://download.openmmlab.com/mmclassification/v0/mvit/"
        "mvitv2-tiny_3rdparty_in1k_20220722-db7beeef.pth",
        prefix="backbone.",
    ),
)
backbone_channels = [96, 192, 384, 768]
