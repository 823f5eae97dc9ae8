# Cityscapes with Mask2Former's recipe: shorter side 512 to 2048 in steps of 102, crops of 1024x512,
# tests on whole images of 2048x1024. 8 things, 11 stuff. A crop is taken as it comes, whatever
# share of it one class has: Mask2Former sets no limit here either.
_base_ = "./panoptic.py"
data_root = "data/cityscapes/"
hint = "convert it with tools/datasets/cityscapes.py"

train_pipeline = [
    *_base_.load_annotated,
    dict(
        type="RandomChoiceResize",
        scales=[(4096, int(1024 * 0.1 * tenth)) for tenth in range(5, 21)],  # longest, shortest
        resize_type="Resize",
        keep_ratio=True,
    ),
    dict(
        type="RandomCrop",
        crop_size=(1024, 512),  # width, height
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
    dict(type="Resize", scale=(2048, 1024), keep_ratio=True),
    _base_.pack_image,
]

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="gtFine/cityscapes_panoptic_train.json",
        data_prefix=dict(img="leftImg8bit/train/", seg="gtFine/cityscapes_panoptic_train/"),
        pipeline=train_pipeline,
        hint=hint,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="gtFine/cityscapes_panoptic_val.json",
        data_prefix=dict(img="leftImg8bit/val/", seg="gtFine/cityscapes_panoptic_val/"),
        pipeline=test_pipeline,
        hint=hint,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + "gtFine/cityscapes_panoptic_val.json",
    seg_prefix=data_root + "gtFine/cityscapes_panoptic_val/",
)
test_evaluator = val_evaluator
