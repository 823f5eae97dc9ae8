# DETR's recipe on COCO's boxes. Before they are cropped, images are not larger than 1333 pixels.
_base_ = ["../datasets/coco_detection.py", "../schedules/detr_150e.py", "../default_runtime.py"]
train_pipeline = _base_.train_pipeline
train_pipeline[3].transforms[1][0].scales = [(side, 1333) for side in (400, 500, 600)]
filter_cfg = dict(filter_empty_gt=True, min_size=32)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, filter_cfg=filter_cfg))
default_hooks = dict(checkpoint=dict(interval=7393))  # an epoch
del filter_cfg
