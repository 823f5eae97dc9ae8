# COCO's instances with Mask2Former's recipe: large-scale jitter 0.1 to 2.0 at 1024, tests at 800.
_base_ = "./loaders.py"
data_root = "data/coco/"
image_size = (1024, 1024)
num_things_classes, num_stuff_classes = 80, 0

train_pipeline = [
    _base_.load_image,
    dict(type="mmproscale.LoadInstances"),
    _base_.flip,
    dict(type="RandomResize", scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(_base_.crop, crop_size=image_size, recompute_bbox=True),
    # Instances of which the crop left no pixel; an image without any is replaced by another.
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
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
    dataset=dict(
        files, **train, filter_cfg=dict(filter_empty_gt=True, min_size=32), pipeline=train_pipeline
    ),
)
val_dataloader = dict(dataset=dict(files, **val, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type="mmproscale.CocoMetric",
    ann_file=data_root + "annotations/instances_val2017.json",
    metric=["bbox", "segm"],
)
test_evaluator = val_evaluator

classes = dict(num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes)
class_weight = [1.0] * (num_things_classes + num_stuff_classes) + [0.1]  # the last: no object
pad = dict(_base_.pad, size=image_size, pad_seg=False)
del pad["seg_pad_value"]
model_settings = dict(
    data_preprocessor=dict(pad_seg=False, batch_augments=[pad]),
    panoptic_head=dict(classes, loss_cls=dict(class_weight=class_weight)),
    panoptic_fusion_head=classes,
    test_cfg=dict(panoptic_on=False, instance_on=True),
)
del test_size, files, train, val, pad, classes, class_weight
