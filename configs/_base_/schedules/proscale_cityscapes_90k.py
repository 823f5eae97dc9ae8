# 90,000 iterations of batch 16 on Cityscapes. The rate is divided by 10 at 0.9 and 0.95 of them, as
# PRO-SCALE's paper has it; Mask2Former's own code lets it fall as a polynomial.
_base_ = "./m2f_adamw.py"
max_iters = 90000
param_scheduler = dict(_base_.two_falls, end=max_iters, milestones=[81000, 85500])
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
del max_iters
