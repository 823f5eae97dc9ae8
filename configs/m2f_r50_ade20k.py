# The twin of proscale_m2f_r50_ade20k.py with Mask2Former's own encoder and pixel embedding.
_base_ = "./proscale_m2f_r50_ade20k.py"
schedule = dict(_delete_=True, type="m2f", layers=6)
decoder = dict(type="mmproscale.DeformablePixelDecoder", encoder=dict(schedule=schedule))
model = dict(panoptic_head=dict(pixel_decoder=decoder))
del schedule, decoder
