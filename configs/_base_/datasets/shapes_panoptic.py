# Shapes: four things, four kinds of stuff, 128x128, made by tools/datasets/make_shapes.py.
dataset_type = "mmproscale.PanopticDataset"
data_root = "data/shapes/"
hint = "make it with tools/datasets/make_shapes.py (--out names the folder)"

train_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="mmproscale.LoadPanoptic"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
# The metric reads the ground truth itself, so testing loads images only.
test_pipeline = [
    dict(type="mmproscale.LoadImage"),
    dict(type="Resize", scale=(128, 128), keep_ratio=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/panoptic_train.json",
        data_prefix=dict(img="train/", seg="annotations/panoptic_train/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
        hint=hint,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/panoptic_val.json",
        data_prefix=dict(img="val/", seg="annotations/panoptic_val/"),
        test_mode=True,
        pipeline=test_pipeline,
        hint=hint,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="mmproscale.UniversalSegMetric",
    ann_file=data_root + "annotations/panoptic_val.json",
    seg_prefix=data_root + "annotations/panoptic_val/",
)
test_evaluator = val_evaluator
