# 90,000 iterations of batch 16 on Cityscapes; the rate falls as a polynomial, as in Mask2Former's
# own code and in mmseg's configs.
_base_ = "./m2f_adamw.py"
max_iters = 90000
param_scheduler = dict(_base_.polynomial, end=max_iters)
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
del max_iters
