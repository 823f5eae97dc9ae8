# DINO's recipe on COCO: 12 epochs of batch 16, the rate divided by 10 after the 11th.
_base_ = "./detr_adamw.py"
epoch = 7393  # iterations: 118,287 images
max_iters = 12 * epoch
param_scheduler = [dict(_base_.fall, end=max_iters, milestones=[11 * epoch])]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=epoch)
del epoch, max_iters
