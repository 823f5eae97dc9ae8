# PEM's recipe on ADE20K: 160,000 iterations of batch 32; the rate falls as a cosine.
_base_ = "./m2f_adamw.py"
max_iters = 160000
optim_wrapper = dict(optimizer=dict(lr=4e-4))
param_scheduler = dict(type="CosineAnnealingLR", eta_min=0, begin=0, end=max_iters, by_epoch=False)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
auto_scale_lr = dict(base_batch_size=32)
del max_iters
