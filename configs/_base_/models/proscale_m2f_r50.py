# Mask2Former with PRO-SCALE's encoder and pixel embedding.
_base_ = ["./m2f_r50.py", "../methods/proscale.py"]
model = dict(panoptic_head=dict(pixel_decoder=_base_.pixel_decoder))
