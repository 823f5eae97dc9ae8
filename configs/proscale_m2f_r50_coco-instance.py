# PRO-SCALE (3,3,3), ResNet-50, COCO's instances, Mask2Former's recipe.
_base_ = [
    "_base_/models/m2f_r50.py",
    "_base_/datasets/coco_instance.py",
    "_base_/schedules/m2f_coco_50e.py",
    "_base_/default_runtime.py",
]
num_things_classes = 80
num_stuff_classes = 0
model = dict(
    data_preprocessor=dict(
        pad_seg=False,
        batch_augments=[
            dict(
                type="BatchFixedSizePad",
                size=(1024, 1024),
                img_pad_value=0,
                pad_mask=True,
                mask_pad_value=0,
                pad_seg=False,
            )
        ],
    ),
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
    test_cfg=dict(panoptic_on=False, instance_on=True),
)
default_hooks = dict(checkpoint=dict(interval=5000))
