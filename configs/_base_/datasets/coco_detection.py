# COCO's boxes with DETR's augmentation: shorter side 480 to 800, half of the images cropped before.
_base_ = "./loaders.py"
data_root = "data/coco/"
resize = dict(
    type="RandomChoiceResize",
    scales=[(side, 1333) for side in range(480, 801, 32)],
    keep_ratio=True,
)
resize_to_crop = dict(
    type="RandomChoiceResize", scales=[(400, 4200), (500, 4200), (600, 4200)], keep_ratio=True
)
crop = dict(_base_.crop, crop_type="absolute_range", crop_size=(384, 600))

train_pipeline = [
    _base_.load_image,
    dict(type="LoadAnnotations", with_bbox=True),
    _base_.flip,
    dict(type="RandomChoice", transforms=[[resize], [resize_to_crop, crop, resize]]),
    _base_.pack,
]
test_size = dict(type="Resize", scale=(1333, 800), keep_ratio=True)
test_pipeline = [_base_.load_image, test_size, _base_.pack_image]

files = dict(type="mmproscale.InstanceDataset", data_root=data_root)
train = dict(ann_file="annotations/instances_train2017.json", data_prefix=dict(img="train2017/"))
val = dict(ann_file="annotations/instances_val2017.json", data_prefix=dict(img="val2017/"))
train_dataloader = dict(
    sampler=dict(type="DefaultSampler"),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(files, **train, filter_cfg=dict(filter_empty_gt=False), pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(files, **val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mmproscale.CocoMetric",
    ann_file=data_root + "annotations/instances_val2017.json",
    metric="bbox",
)
test_evaluator = val_evaluator
del test_size, files, train, val, resize, resize_to_crop, crop
