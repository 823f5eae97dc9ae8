# Your own panoptic data: steps of its pipelines, its datasets and its metric. A config that
# tools/new_config.py writes puts the steps together, and adds sizes, files and classes.
_base_ = "./loaders.py"
first_steps = [_base_.load_image, dict(type="mmproscale.LoadPanoptic"), _base_.flip]
random_resize = dict(type="RandomResize", ratio_range=(0.5, 2.0), keep_ratio=True)
crop = dict(recompute_bbox=True)
last_steps = [_base_.pack]
resize = dict(type="Resize", keep_ratio=True)
last_test_steps = [_base_.pack_image]

files = dict(type="mmproscale.PanopticDataset")
train_dataloader = dict(dataset=dict(files, filter_cfg=dict(filter_empty_gt=True)))
val_dataloader = dict(dataset=files)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmproscale.UniversalSegMetric")
test_evaluator = val_evaluator
del files
