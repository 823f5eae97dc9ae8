# Mask2Former with Lite DETR's encoder.
_base_ = ["./m2f_r50.py", "../methods/lite.py"]
model = dict(panoptic_head=dict(pixel_decoder=_base_.pixel_decoder))
