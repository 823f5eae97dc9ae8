# Mask2Former's recipe on COCO: 50 epochs of batch 16, the rate divided by 10 twice near the end.
_base_ = "./m2f_adamw.py"
max_iters = 368750
interval = 5000
milestones = [327778, 355092]
param_scheduler = dict(
    type="MultiStepLR", begin=0, end=max_iters, by_epoch=False, milestones=milestones, gamma=0.1
)
train_cfg = dict(
    type="IterBasedTrainLoop",
    max_iters=max_iters,
    val_interval=interval,
    dynamic_intervals=[(max_iters // interval * interval + 1, max_iters)],
)
del max_iters, interval, milestones
