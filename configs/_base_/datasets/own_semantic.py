# Your own images and label maps, in mmseg's pipelines; own_panoptic.py says how a config uses this.
# Tests with overlapping crops: --cfg-options model.test_cfg.mode=slide
_base_ = ["./loaders.py", "../models/segmentor.py"]
load_map = dict(type="mmproscale.LoadLabelMap")
first_steps = [_base_.load_image, load_map]
random_resize = dict(type="RandomResize", ratio_range=(0.5, 2.0), keep_ratio=True)
crop = dict(_delete_=True, type="RandomCrop", cat_max_ratio=0.75)
last_steps = [_base_.flip, dict(type="PhotoMetricDistortion"), dict(type="PackSegInputs")]
# Maps are loaded after the image is resized: results are compared at the original size.
resize = dict(type="Resize", keep_ratio=True)
last_test_steps = [load_map, dict(type="PackSegInputs")]

train_dataloader = dict(dataset=dict(type="mmproscale.SemanticDataset"))
val_dataloader = dict(dataset=dict(type="mmproscale.SemanticDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
del load_map
