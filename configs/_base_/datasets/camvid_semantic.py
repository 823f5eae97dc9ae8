# CamVid's 11 classes in mmseg's pipelines, from the panoptic files.
_base_ = "./camvid_panoptic.py"
crop_size = (192, 256)  # height, width

train_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmproscale.LoadSemanticFromPanoptic"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=(480, 360), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="PackSegInputs"),
]
# Maps are loaded after the image is resized: results are compared at the original size.
test_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="Resize", scale=(480, 360), keep_ratio=True),
    dict(type="mmproscale.LoadSemanticFromPanoptic"),
    dict(type="PackSegInputs"),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = dict(val_evaluator)
