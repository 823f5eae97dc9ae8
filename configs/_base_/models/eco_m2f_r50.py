# ECO-M2F: Mask2Former with exits after layers 2 to 6.
_base_ = ["./m2f_r50.py", "../methods/eco.py"]
decoder = dict(exit_gate=_base_.exit_gate)
model = dict(panoptic_head=dict(exit_loss=_base_.exit_loss, pixel_decoder=decoder))
del decoder
