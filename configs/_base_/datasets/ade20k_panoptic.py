# ADE20K (ADEChallengeData2016) with Mask2Former's recipe: shorter side 320 to 1280 in steps of 64,
# crops of 640x640, tests at shorter side 640. 100 things, 50 stuff. A crop is taken as it comes,
# whatever share of it one class has: Mask2Former sets no limit here either.
_base_ = "./panoptic.py"
data_root = "data/ADEChallengeData2016/"
hint = "convert it with tools/datasets/ade20k.py"

train_pipeline = [
    *_base_.load_annotated,
    dict(
        type="RandomChoiceResize",
        scales=[(2560, 64 * tenth) for tenth in range(5, 21)],  # longest, shortest
        resize_type="Resize",
        keep_ratio=True,
    ),
    dict(
        type="RandomCrop",
        crop_size=(640, 640),
        crop_type="absolute",
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type="mmseg.PhotoMetricDistortion"),  # mmdet's also permutes channels
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    _base_.load_image,
    dict(type="Resize", scale=(2560, 640), keep_ratio=True),
    _base_.pack_image,
]

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="ade20k_panoptic_train.json",
        data_prefix=dict(img="images/training/", seg="ade20k_panoptic_train/"),
        pipeline=train_pipeline,
        hint=hint,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="ade20k_panoptic_val.json",
        data_prefix=dict(img="images/validation/", seg="ade20k_panoptic_val/"),
        pipeline=test_pipeline,
        hint=hint,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + "ade20k_panoptic_val.json",
    seg_prefix=data_root + "ade20k_panoptic_val/",
)
test_evaluator = val_evaluator
