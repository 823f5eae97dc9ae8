# Deformable DETR's recipe on COCO: 50 epochs of batch 32 (4 images on each of 8 GPUs), the rate
# divided by 10 after the 40th.
_base_ = "./detr_adamw.py"
epoch = 3697  # iterations: 118,287 images
max_iters = 50 * epoch
slow = dict(lr_mult=0.1)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys={"sampling_offsets": slow, "reference_points": slow}),
)
param_scheduler = [dict(_base_.fall, end=max_iters, milestones=[40 * epoch])]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=epoch)
auto_scale_lr = dict(base_batch_size=32)
del epoch, max_iters, slow
