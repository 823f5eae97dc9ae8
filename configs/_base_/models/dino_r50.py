# DINO at the published size: what differs from Deformable DETR. mmdet's dino-4scale, key for key.
_base_ = "./deformable_detr_r50.py"
steady = dict(dropout=0.0)
feedforward = dict(feedforward_channels=2048, ffn_drop=0.0)
model = dict(
    type="mmproscale.ScheduledDINO",
    num_queries=900,
    encoder=dict(layer_cfg=dict(self_attn_cfg=steady, ffn_cfg=feedforward)),
    decoder=dict(layer_cfg=dict(self_attn_cfg=steady, cross_attn_cfg=steady, ffn_cfg=feedforward)),
    positional_encoding=dict(offset=0.0, temperature=20),
    bbox_head=dict(type="mmdet.DINOHead", loss_cls=dict(loss_weight=1.0)),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100),
    ),
    test_cfg=dict(max_per_img=300),
)
del steady, feedforward
