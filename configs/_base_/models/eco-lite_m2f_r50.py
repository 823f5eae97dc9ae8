# ECO on Lite-M2F: exits after layers 2 to 5, the sixth always runs.
_base_ = ["./m2f_r50.py", "../methods/lite.py", "../methods/eco.py"]
_base_.pixel_decoder.exit_gate = _base_.exit_gate
model = dict(panoptic_head=dict(exit_loss=_base_.exit_loss, pixel_decoder=_base_.pixel_decoder))
