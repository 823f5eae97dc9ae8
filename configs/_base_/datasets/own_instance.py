# Your own instances; own_panoptic.py says how a config uses this.
_base_ = "./loaders.py"
first_steps = [_base_.load_image, dict(type="mmproscale.LoadInstances"), _base_.flip]
random_resize = dict(type="RandomResize", ratio_range=(0.5, 2.0), keep_ratio=True)
crop = dict(recompute_bbox=True)
# Instances of which the crop left no pixel; an image without any is replaced by another.
drop_empty = dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True)
last_steps = [drop_empty, _base_.pack]
resize = dict(type="Resize", keep_ratio=True)
last_test_steps = [_base_.pack_image]

files = dict(type="mmproscale.InstanceDataset")
train_dataloader = dict(dataset=dict(files, filter_cfg=dict(filter_empty_gt=True)))
val_dataloader = dict(dataset=files)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmproscale.CocoMetric", metric=["bbox", "segm"])
test_evaluator = val_evaluator
model_settings = dict(
    data_preprocessor=dict(pad_seg=False), test_cfg=dict(panoptic_on=False, instance_on=True)
)
del drop_empty, files
