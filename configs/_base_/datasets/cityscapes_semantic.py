# Cityscapes with the recipe of mmseg's Mask2Former: shorter side 512 to 2048 in steps of 102, crops
# of 1024x512 of which no class has more than three quarters, tests on images of 2048x1024,
# on overlapping crops with --cfg-options model.test_cfg.mode=slide
_base_ = ["./loaders.py", "../models/segmentor.py"]
data_root = "data/cityscapes/"
hint = "make its labelTrainIds.png with mmsegmentation's tools/dataset_converters/cityscapes.py"
crop_size = (512, 1024)  # height, width
num_classes = 19
# As in Mask2Former's recipe, and for Cityscapes only, a ResNet's batch norms are trained, over the
# images of all GPUs. On one device mmengine leaves plain batch norms.
sync_bn = "torch"
trained_norms = dict(norm_cfg=dict(type="BN", requires_grad=True), norm_eval=False)

train_pipeline = [
    _base_.load_image,
    dict(type="mmproscale.LoadLabelMap"),
    dict(
        type="RandomChoiceResize",
        scales=[int(1024 * 0.1 * tenth) for tenth in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=4096,
    ),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    _base_.flip,
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
# Maps are loaded after the image is resized: results are compared at the original size.
test_pipeline = [
    _base_.load_image,
    dict(type="Resize", scale=(2048, 1024), keep_ratio=True),
    dict(type="mmproscale.LoadLabelMap"),
    dict(type="PackSegInputs"),
]

files = dict(type="mmproscale.CityscapesSemanticDataset", data_root=data_root, hint=hint)
train = dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train")
val = dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val")
train_dataloader = dict(dataset=dict(files, data_prefix=train, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(files, data_prefix=val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator

segmentor = dict(
    data_preprocessor=dict(size=crop_size), test_cfg=dict(crop_size=crop_size, stride=(341, 683))
)
head = dict(num_classes=num_classes, loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]))
del files, train, val
