# Cityscapes with the recipe of mmseg's Mask2Former: shorter side 512 to 2048 in steps of 102, crops
# of 1024x512 of which no class has more than three quarters, tests on images of 2048x1024.
_base_ = "./semantic.py"
dataset_type = "mmproscale.CityscapesSemanticDataset"
data_root = "data/cityscapes/"
hint = "make its labelTrainIds.png with mmsegmentation's tools/dataset_converters/cityscapes.py"
crop_size = (512, 1024)  # height, width

train_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmproscale.LoadLabelMap"),
    dict(
        type="RandomChoiceResize",
        scales=[int(1024 * 0.1 * tenth) for tenth in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=4096,
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# Maps are loaded after the image is resized: results are compared at the original size.
test_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="Resize", scale=(2048, 1024), keep_ratio=True),
    dict(type="mmproscale.LoadLabelMap"),
    dict(type="PackSegInputs"),
]

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
        pipeline=train_pipeline,
        hint=hint,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
        pipeline=test_pipeline,
        hint=hint,
    )
)
test_dataloader = val_dataloader
