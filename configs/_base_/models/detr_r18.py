# A small DETR for a CPU: ResNet-18 and two decoder layers.
_base_ = ["./detr_r50.py", "../backbones/r18.py"]
feedforward = dict(feedforward_channels=256)
model = dict(
    num_queries=40,
    backbone=dict(_base_.small_model.backbone, frozen_stages=-1),
    neck=dict(in_channels=[512]),
    encoder=dict(layer_cfg=dict(ffn_cfg=feedforward)),
    decoder=dict(num_layers=2, layer_cfg=dict(ffn_cfg=feedforward)),
    test_cfg=dict(max_per_img=40),
)
del feedforward
