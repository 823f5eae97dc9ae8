# ADE20K (ADEChallengeData2016) with the recipe of mmseg's Mask2Former: shorter side 256 to 1024 in
# steps of 51, crops of 512x512 of which no class has more than three quarters, tests at shorter
# side 512. 150 classes; 0 is void in the maps.
_base_ = "./semantic.py"
dataset_type = "mmproscale.ADE20KSemanticDataset"
data_root = "data/ADEChallengeData2016/"
hint = "unpack ADEChallengeData2016.zip of the MIT Scene Parsing Benchmark there"
crop_size = (512, 512)

train_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmproscale.LoadLabelMap"),
    dict(
        type="RandomChoiceResize",
        scales=[int(512 * 0.1 * tenth) for tenth in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=2048,
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# Maps are loaded after the image is resized: results are compared at the original size.
test_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    dict(type="mmproscale.LoadLabelMap"),
    dict(type="PackSegInputs"),
]

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=train_pipeline,
        hint=hint,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        pipeline=test_pipeline,
        hint=hint,
    )
)
test_dataloader = val_dataloader
