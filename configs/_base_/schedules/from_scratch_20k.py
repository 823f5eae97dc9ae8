# 20,000 iterations from scratch: a warm-up, then the rate falls as a cosine.
_base_ = "./adamw_from_scratch.py"
max_iters = 20000
warm_up = 200
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
    dict(type="CosineAnnealingLR", eta_min=0, by_epoch=False, begin=warm_up, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=500)
del max_iters, warm_up
