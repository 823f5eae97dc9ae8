# DDQ's recipe on COCO's boxes: DINO's 12 epochs at twice the rate, with a warm-up.
_base_ = ["../datasets/coco_detection.py", "../schedules/dino_12e.py", "../default_runtime.py"]
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=0.05))
warm_up = dict(type="LinearLR", start_factor=1e-4, by_epoch=False, begin=0, end=2000)
param_scheduler = [warm_up, *_base_.param_scheduler]
default_hooks = dict(checkpoint=dict(interval=7393))  # an epoch
del warm_up
