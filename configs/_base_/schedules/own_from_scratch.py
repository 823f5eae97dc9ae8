# The optimizer for your own data from scratch: Swin's table of positions does not decay either.
_base_ = "./adamw_from_scratch.py"
position_table = dict(relative_position_bias_table=dict(decay_mult=0.0))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=position_table))
del position_table
