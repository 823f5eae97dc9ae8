# The twin of the PRO-SCALE config, with Mask2Former's own encoder and pixel embedding.
_base_ = "./proscale_m2f_swin-t_ade20k-semantic.py"
schedule = dict(_delete_=True, type="m2f", layers=6)
decoder = dict(type="mmproscale.DeformablePixelDecoder", encoder=dict(schedule=schedule))
model = dict(decode_head=dict(pixel_decoder=decoder))
del schedule, decoder
