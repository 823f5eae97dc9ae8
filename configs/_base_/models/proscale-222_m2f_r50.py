_base_ = ["./m2f_r50.py", "../methods/proscale.py"]
_base_.pixel_decoder.encoder.schedule.repeats = (2, 2, 2)
model = dict(panoptic_head=dict(pixel_decoder=_base_.pixel_decoder))
