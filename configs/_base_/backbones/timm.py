# Any backbone of timm, with timm's pretrained weights for it: set model.backbone.model. The model
# reads channels, means and standard deviations from the backbone where they are None.
timm_parts = dict(
    data_preprocessor=dict(mean=None, std=None),
    backbone=dict(
        _delete_=True,
        type="mmproscale.TimmBackbone",
        model="convnext_tiny.dinov3_lvd1689m",
        init_cfg=dict(type="Pretrained", checkpoint="timm://"),
    ),
    panoptic_head=dict(in_channels=None),
)
