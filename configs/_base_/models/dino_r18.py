# A small DINO that trains from scratch on a CPU: ResNet-18, 3 encoder and 2 decoder layers. Its
# batch norms are trained: mmdet's start at zero in the residual branches, so frozen ones would
# never leave it. 256 channels stay: mmdet's DINO has no other number.
_base_ = "./dino_r50.py"
feedforward = dict(feedforward_channels=256)
model = dict(
    num_queries=40,
    backbone=dict(
        depth=18,
        frozen_stages=-1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[128, 256, 512]),
    encoder=dict(schedule=dict(layers=3), layer_cfg=dict(ffn_cfg=feedforward)),
    decoder=dict(num_layers=2, layer_cfg=dict(ffn_cfg=feedforward)),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)),
    test_cfg=dict(max_per_img=40),
)
del feedforward
