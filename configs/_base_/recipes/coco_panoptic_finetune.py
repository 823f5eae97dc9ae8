# COCO panoptic, a short training from a trained Mask2Former on one GPU: crops of 640, of which a
# GPU of 8 GB takes four with --amp, and half the rate.
_base_ = ["../datasets/coco_panoptic.py", "../schedules/m2f_adamw.py", "../default_runtime.py"]
image_size = (640, 640)
load, truth, flip, resize, crop, pack = _base_.train_pipeline
resize, crop = dict(resize, scale=image_size), dict(crop, crop_size=image_size)
train_pipeline = [load, truth, flip, resize, crop, pack]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
model_settings = dict(data_preprocessor=dict(batch_augments=[dict(_base_.pad, size=image_size)]))

max_iters, warm_up = 20000, 500
optim_wrapper = dict(optimizer=dict(lr=5e-5))
auto_scale_lr = dict(base_batch_size=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
    dict(_base_.polynomial, begin=warm_up, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=2500)
default_hooks = dict(checkpoint=dict(interval=2500, max_keep_ckpts=1))
del load, truth, flip, resize, crop, pack, max_iters, warm_up
