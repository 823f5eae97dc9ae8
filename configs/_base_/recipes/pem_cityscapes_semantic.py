# PEM's recipe on Cityscapes semantic: 4 images on each of 8 GPUs, batch norms over all of them.
_base_ = [
    "../datasets/cityscapes_semantic.py",
    "../schedules/pem_cityscapes_90k.py",
    "../semantic_runtime.py",
]
# PEM follows Mask2Former, which takes a crop whatever share of it one class has; mmseg does not.
train_pipeline = _base_.train_pipeline
train_pipeline[3].cat_max_ratio = 1.0
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
