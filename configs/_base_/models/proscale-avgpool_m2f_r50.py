# PRO-SCALE with average instead of maximum pooling in the light pixel embedding.
_base_ = ["./m2f_r50.py", "../methods/proscale.py"]
_base_.pixel_decoder.pixel_embedding = dict(type="LPE", pooling="average")
model = dict(panoptic_head=dict(pixel_decoder=_base_.pixel_decoder))
