# From scratch on CamVid's 11 classes in mmseg's pipelines, from the panoptic files. The iterations
# suit a GPU; on a CPU shorten them as in camvid_panoptic.py.
_base_ = [
    "../datasets/camvid_panoptic.py",
    "../models/segmentor.py",
    "../schedules/from_scratch_20k.py",
    "../semantic_runtime.py",
]
crop_size = (192, 256)  # height, width
num_classes = _base_.num_things_classes + _base_.num_stuff_classes

train_pipeline = [
    _base_.load_image,
    dict(type="mmproscale.LoadSemanticFromPanoptic"),
    _base_.flip,
    _base_.train_pipeline[3],
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="PackSegInputs"),
]
# Maps are loaded after the image is resized: results are compared at the original size.
test_pipeline = [
    *_base_.test_pipeline[:2],
    dict(type="mmproscale.LoadSemanticFromPanoptic"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = dict(val_evaluator)

segmentor = dict(
    data_preprocessor=dict(size=crop_size), test_cfg=dict(crop_size=crop_size, stride=(128, 171))
)
head = dict(num_classes=num_classes, loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]))
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
