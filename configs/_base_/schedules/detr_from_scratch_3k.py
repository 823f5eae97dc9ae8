# 3,000 iterations of batch 2 for a small detector from scratch: a warm-up, then a cosine.
_base_ = "./adamw_from_scratch.py"
max_iters = 3000
warm_up = max_iters // 10
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warm_up),
    dict(type="CosineAnnealingLR", eta_min=0, by_epoch=False, begin=warm_up, end=max_iters),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=1000)
auto_scale_lr = dict(base_batch_size=2)
randomness = dict(seed=0)
del max_iters, warm_up
