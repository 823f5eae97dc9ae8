# Mask2Former's recipe on ADE20K: 160,000 iterations of batch 16; the rate falls as a polynomial.
_base_ = "./m2f_adamw.py"
max_iters = 160000
param_scheduler = dict(_base_.polynomial, end=max_iters)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
del max_iters
