# ADE20K (ADEChallengeData2016) with Mask2Former's recipe: shorter side 320 to 1280 in steps of 64,
# crops of 640x640, tests at shorter side 640. As in Mask2Former, the share of
# a crop that one class has is not limited.
_base_ = "./loaders.py"
data_root = "data/ADEChallengeData2016/"
hint = "convert it with tools/datasets/ade20k.py"
crop_size = (640, 640)
num_things_classes, num_stuff_classes = 100, 50

train_pipeline = [
    _base_.load_image,
    dict(type="mmproscale.LoadPanoptic"),
    dict(
        type="RandomChoiceResize",
        scales=[(2560, 64 * tenth) for tenth in range(5, 21)],  # longest, shortest
        resize_type="Resize",
        keep_ratio=True,
    ),
    dict(_base_.crop, crop_size=crop_size, recompute_bbox=True),
    dict(type="mmseg.PhotoMetricDistortion"),  # mmdet's also permutes channels
    _base_.flip,
    _base_.pack,
]
test_size = dict(type="Resize", scale=(2560, 640), keep_ratio=True)
test_pipeline = [_base_.load_image, test_size, _base_.pack_image]

files = dict(type="mmproscale.PanopticDataset", data_root=data_root, hint=hint)
train = dict(
    ann_file="ade20k_panoptic_train.json",
    data_prefix=dict(img="images/training/", seg="ade20k_panoptic_train/"),
)
val = dict(
    ann_file="ade20k_panoptic_val.json",
    data_prefix=dict(img="images/validation/", seg="ade20k_panoptic_val/"),
)
train_dataloader = dict(
    dataset=dict(files, **train, filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(files, **val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mmproscale.UniversalSegMetric",
    ann_file=data_root + "ade20k_panoptic_val.json",
    seg_prefix=data_root + "ade20k_panoptic_val/",
)
test_evaluator = val_evaluator

classes = dict(num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes)
class_weight = [1.0] * (num_things_classes + num_stuff_classes) + [0.1]  # the last: no object
model_settings = dict(
    data_preprocessor=dict(batch_augments=[dict(_base_.pad, size=crop_size[::-1])]),
    panoptic_head=dict(classes, loss_cls=dict(class_weight=class_weight)),
    panoptic_fusion_head=classes,
)
del test_size, files, train, val, classes, class_weight
