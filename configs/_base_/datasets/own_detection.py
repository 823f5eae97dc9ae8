# Your own boxes; own_panoptic.py says how a config uses this.
_base_ = "./loaders.py"
first_steps = [_base_.load_image, dict(type="LoadAnnotations", with_bbox=True), _base_.flip]
random_resize = dict(type="RandomResize", ratio_range=(0.5, 2.0), keep_ratio=True)
last_steps = [_base_.pack]
resize = dict(type="Resize", keep_ratio=True)
last_test_steps = [_base_.pack_image]

files = dict(type="mmproscale.InstanceDataset")
train_dataloader = dict(dataset=dict(files, filter_cfg=dict(filter_empty_gt=True)))
val_dataloader = dict(dataset=files)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmproscale.CocoMetric", metric="bbox")
test_evaluator = val_evaluator
del files
