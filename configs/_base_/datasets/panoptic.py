# What panoptic datasets have in common: loaders for 16 images on 8 GPUs, the metric, and the ends
# of their pipelines. A dataset adds data_root, its paths and its pipelines.
dataset_type = "mmproscale.PanopticDataset"
load_annotated = [dict(type="mmproscale.LoadImage"), dict(type="mmproscale.LoadPanoptic")]
# The metric reads the ground truth itself, so testing loads images only.
load_image = dict(type="mmproscale.LoadImage")
pack_image = dict(
    type="PackDetInputs",
    meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
)

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type=dataset_type, filter_cfg=dict(filter_empty_gt=True)),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmproscale.UniversalSegMetric")
test_evaluator = val_evaluator
