# The things of CamVid: street photographs of 480x360, 367 to train on and 101 to validate. Boxes:
# python tools/datasets/panoptic_to_instances.py data/camvid/annotations/panoptic_*.json
_base_ = "./loaders.py"
data_root = "data/camvid/"

train_pipeline = [
    _base_.load_image,
    dict(type="LoadAnnotations", with_bbox=True),
    _base_.flip,
    dict(type="RandomResize", scale=(480, 360), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(_base_.crop, crop_size=(256, 192)),  # width, height
    _base_.pack,
]
test_size = dict(type="Resize", scale=(480, 360), keep_ratio=True)
test_pipeline = [_base_.load_image, test_size, _base_.pack_image]

files = dict(type="mmproscale.InstanceDataset", data_root=data_root)
train = dict(ann_file="annotations/instances_train.json", data_prefix=dict(img="train/"))
val = dict(ann_file="annotations/instances_val.json", data_prefix=dict(img="val/"))
train_dataloader = dict(
    dataset=dict(files, **train, filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(files, **val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mmproscale.CocoMetric",
    ann_file=data_root + "annotations/instances_val.json",
    metric="bbox",
)
test_evaluator = val_evaluator
model_settings = dict(bbox_head=dict(num_classes=3))
del test_size, files, train, val
