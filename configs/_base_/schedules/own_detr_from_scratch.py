# The optimizer of a small detector from scratch, as in detr_from_scratch_3k.py.
_base_ = "./adamw_from_scratch.py"
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
