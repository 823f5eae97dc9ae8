# The optimizer of a small detector from scratch: one rate for the whole network.
_base_ = "./adamw_from_scratch.py"
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
auto_scale_lr = dict(base_batch_size=2)
