# CamVid: street photographs of 480x360, 367 to train on and 101 to validate.
_base_ = "./loaders.py"
data_root = "data/camvid/"
num_things_classes, num_stuff_classes = 3, 8

train_pipeline = [
    _base_.load_image,
    dict(type="mmproscale.LoadPanoptic"),
    _base_.flip,
    dict(type="RandomResize", scale=(480, 360), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(_base_.crop, crop_size=(256, 192), recompute_bbox=True),  # width, height
    _base_.pack,
]
test_size = dict(type="Resize", scale=(480, 360), keep_ratio=True)
test_pipeline = [_base_.load_image, test_size, _base_.pack_image]

files = dict(type="mmproscale.PanopticDataset", data_root=data_root)
train = dict(
    ann_file="annotations/panoptic_train.json",
    data_prefix=dict(img="train/", seg="annotations/panoptic_train/"),
)
val = dict(
    ann_file="annotations/panoptic_val.json",
    data_prefix=dict(img="val/", seg="annotations/panoptic_val/"),
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(files, **train, filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(files, **val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mmproscale.UniversalSegMetric",
    ann_file=data_root + "annotations/panoptic_val.json",
    seg_prefix=data_root + "annotations/panoptic_val/",
)
test_evaluator = val_evaluator

classes = dict(num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes)
class_weight = [1.0] * (num_things_classes + num_stuff_classes) + [0.1]  # the last: no object
model_settings = dict(
    panoptic_head=dict(classes, loss_cls=dict(class_weight=class_weight)),
    panoptic_fusion_head=classes,
)
del test_size, files, train, val, classes, class_weight
