# PRO-SCALE (3,3,3), ResNet-50, Cityscapes semantic, the recipe of mmseg's Mask2Former. Tests see
# whole images; overlapping crops with --cfg-options model.test_cfg.mode=slide
# As in Mask2Former's recipe for Cityscapes, and only there, the ResNet's batch norms are trained,
# over the images of all GPUs.
_base_ = [
    "_base_/models/semantic_m2f_r50.py",
    "_base_/datasets/cityscapes_semantic.py",
    "_base_/schedules/m2f_cityscapes_90k_poly.py",
    "_base_/semantic_runtime.py",
]
num_classes = 19
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(norm_cfg=dict(requires_grad=True), norm_eval=False),
    decode_head=dict(
        num_classes=num_classes,
        pixel_decoder=dict(
            type="mmproscale.ProScalePixelDecoder",
            encoder=dict(schedule=dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3))),
        ),
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
    ),
    test_cfg=dict(crop_size=_base_.crop_size, stride=(341, 683)),
)
sync_bn = "torch"  # on one device mmengine leaves plain batch norms
default_hooks = dict(checkpoint=dict(interval=5000))
