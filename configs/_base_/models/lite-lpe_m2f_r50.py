# Mask2Former with Lite DETR's encoder and PRO-SCALE's light pixel embedding.
_base_ = ["./m2f_r50.py", "../methods/lite.py"]
_base_.pixel_decoder.pixel_embedding = dict(type="LPE")
model = dict(panoptic_head=dict(pixel_decoder=_base_.pixel_decoder))
