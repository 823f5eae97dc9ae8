# Mask2Former's recipe on COCO: 50 epochs of batch 16, the rate divided by 10 twice near the end.
_base_ = "./m2f_adamw.py"
max_iters = 368750
interval = 5000
param_scheduler = dict(_base_.two_falls, end=max_iters, milestones=[327778, 355092])
train_cfg = dict(
    type="IterBasedTrainLoop",
    max_iters=max_iters,
    val_interval=interval,
    dynamic_intervals=[(max_iters // interval * interval + 1, max_iters)],
)
del max_iters, interval
