# ECO on PRO-SCALE (3,3,3): exits after layers 7 to 9.
_base_ = ["./m2f_r50.py", "../methods/proscale.py", "../methods/eco.py"]
_base_.pixel_decoder.exit_gate = _base_.exit_gate
model = dict(panoptic_head=dict(exit_loss=_base_.exit_loss, pixel_decoder=_base_.pixel_decoder))
