# DETR's recipe on COCO: 150 epochs of batch 16, the rate divided by 10 after the 100th.
_base_ = "./detr_adamw.py"
epoch = 7393  # iterations: 118,287 images
max_iters = 150 * epoch
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"backbone": dict(decay_mult=1.0)}))
param_scheduler = [dict(_base_.fall, end=max_iters, milestones=[100 * epoch])]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=epoch)
del epoch, max_iters
