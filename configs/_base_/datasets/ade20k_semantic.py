# ADE20K (ADEChallengeData2016) with the recipe of mmseg's Mask2Former: shorter side 256 to 1024 in
# steps of 51, crops of 512x512 of which no class has more than three quarters, tests at shorter
# side 512, on overlapping crops with --cfg-options model.test_cfg.mode=slide. Void is 0.
_base_ = ["./loaders.py", "../models/segmentor.py"]
data_root = "data/ADEChallengeData2016/"
hint = "unpack ADEChallengeData2016.zip of the MIT Scene Parsing Benchmark there"
crop_size = (512, 512)
num_classes = 150

train_pipeline = [
    _base_.load_image,
    dict(type="mmproscale.LoadLabelMap"),
    dict(
        type="RandomChoiceResize",
        scales=[int(512 * 0.1 * tenth) for tenth in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=2048,
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    _base_.flip,
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# Maps are loaded after the image is resized: results are compared at the original size.
test_pipeline = [
    _base_.load_image,
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    dict(type="mmproscale.LoadLabelMap"),
    dict(type="PackSegInputs"),
]

files = dict(type="mmproscale.ADE20KSemanticDataset", data_root=data_root, hint=hint)
train = dict(img_path="images/training", seg_map_path="annotations/training")
val = dict(img_path="images/validation", seg_map_path="annotations/validation")
train_dataloader = dict(dataset=dict(files, data_prefix=train, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(files, data_prefix=val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator

segmentor = dict(
    data_preprocessor=dict(size=crop_size), test_cfg=dict(crop_size=crop_size, stride=(341, 341))
)
head = dict(num_classes=num_classes, loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]))
del files, train, val
