# ResNet-18, and a DINO small enough for a CPU, which trains from scratch: 3 encoder and 2 decoder
# layers. It keeps 256 channels: mmdet's DINO has no other number.
_base_ = "./r18.py"
feedforward = dict(feedforward_channels=256)
small_dino = dict(
    num_queries=40,
    backbone=dict(_base_.small_model.backbone, frozen_stages=-1),
    neck=dict(in_channels=[128, 256, 512]),
    encoder=dict(schedule=dict(layers=3), layer_cfg=dict(ffn_cfg=feedforward)),
    decoder=dict(num_layers=2, layer_cfg=dict(ffn_cfg=feedforward)),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)),
    test_cfg=dict(max_per_img=40),
)
del feedforward
