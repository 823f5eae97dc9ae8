# STDC2, pretrained on ImageNet-1k by mmsegmentation's authors; its batch norms learn on.
_base_ = "./stdc1.py"
weights = (
    "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/stdc/stdc2_20220308-7dbd9127.pth"
)
backbone = dict(stdc_type="STDCNet2", init_cfg=dict(checkpoint=weights))
del weights
