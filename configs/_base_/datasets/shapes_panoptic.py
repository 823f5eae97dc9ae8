# Shapes: four things, four kinds of stuff, 128x128, made by tools/datasets/make_shapes.py.
_base_ = "./loaders.py"
data_root = "data/shapes/"
hint = "make it with tools/datasets/make_shapes.py (--out names the folder)"
num_things_classes, num_stuff_classes = 4, 4

load_panoptic = dict(type="mmproscale.LoadPanoptic")
train_pipeline = [_base_.load_image, load_panoptic, _base_.flip, _base_.pack]
test_size = dict(type="Resize", scale=(128, 128), keep_ratio=True)
test_pipeline = [_base_.load_image, test_size, _base_.pack_image]

files = dict(type="mmproscale.PanopticDataset", data_root=data_root, hint=hint)
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
    num_workers=1,
    dataset=dict(files, **train, filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8, num_workers=1, dataset=dict(files, **val, pipeline=test_pipeline)
)
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
del load_panoptic, test_size, files, train, val, classes, class_weight
