# The things of Shapes, 128x128. python tools/datasets/make_shapes.py makes the images, python
# tools/datasets/panoptic_to_instances.py data/shapes/annotations/panoptic_*.json the boxes.
_base_ = "./loaders.py"
data_root = "data/shapes/"
hint = "make it with tools/datasets/make_shapes.py (--out names the folder)"
resize = dict(type="Resize", scale=(128, 128), keep_ratio=True)

load_boxes = dict(type="LoadAnnotations", with_bbox=True)
train_pipeline = [_base_.load_image, load_boxes, _base_.flip, resize, _base_.pack]
test_pipeline = [_base_.load_image, resize, _base_.pack_image]

files = dict(type="mmproscale.InstanceDataset", data_root=data_root, hint=hint)
train = dict(ann_file="annotations/instances_train.json", data_prefix=dict(img="train/"))
val = dict(ann_file="annotations/instances_val.json", data_prefix=dict(img="val/"))
train_dataloader = dict(
    num_workers=1,
    dataset=dict(files, **train, filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8, num_workers=1, dataset=dict(files, **val, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mmproscale.CocoMetric",
    ann_file=data_root + "annotations/instances_val.json",
    metric="bbox",
)
test_evaluator = val_evaluator
model_settings = dict(bbox_head=dict(num_classes=4))
del load_boxes, files, train, val, resize
