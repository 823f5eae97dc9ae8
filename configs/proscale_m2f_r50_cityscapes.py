# PRO-SCALE (3,3,3), ResNet-50, Cityscapes panoptic, Mask2Former's recipe. As on COCO there are
# 100 queries, and fusion keeps a mask whose class scores 0.8, if others leave it 0.8 of its area.
# As in Mask2Former's recipe for Cityscapes, and only there, the ResNet's batch norms are trained,
# over the images of all GPUs.
_base_ = [
    "_base_/models/m2f_r50.py",
    "_base_/datasets/cityscapes_panoptic.py",
    "_base_/schedules/m2f_cityscapes_90k.py",
    "_base_/default_runtime.py",
]
num_things_classes = 8
num_stuff_classes = 11
model = dict(
    data_preprocessor=dict(
        batch_augments=[
            dict(
                type="BatchFixedSizePad",
                size=(512, 1024),  # height, width
                img_pad_value=0,
                pad_mask=True,
                mask_pad_value=0,
                pad_seg=True,
                seg_pad_value=255,
            )
        ]
    ),
    backbone=dict(norm_cfg=dict(requires_grad=True), norm_eval=False),
    panoptic_head=dict(
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
        pixel_decoder=dict(
            type="mmproscale.ProScalePixelDecoder",
            encoder=dict(schedule=dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3))),
        ),
        loss_cls=dict(class_weight=[1.0] * (num_things_classes + num_stuff_classes) + [0.1]),
    ),
    panoptic_fusion_head=dict(
        num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes
    ),
)
sync_bn = "torch"  # on one device mmengine leaves plain batch norms
default_hooks = dict(checkpoint=dict(interval=5000))
