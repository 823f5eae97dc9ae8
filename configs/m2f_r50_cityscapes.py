# The twin of proscale_m2f_r50_cityscapes.py with Mask2Former's own encoder, pixel embedding and
# schedule: its rate falls as a polynomial, where PRO-SCALE's paper has steps.
_base_ = "./proscale_m2f_r50_cityscapes.py"
schedule = dict(_delete_=True, type="m2f", layers=6)
decoder = dict(type="mmproscale.DeformablePixelDecoder", encoder=dict(schedule=schedule))
model = dict(panoptic_head=dict(pixel_decoder=decoder))
param_scheduler = dict(
    _delete_=True, type="PolyLR", power=0.9, eta_min=0.0, begin=0, end=90000, by_epoch=False
)
del schedule, decoder
