# Lite DETR's encoder: five layers for the coarse levels, which read all levels, then one for all.
_base_ = "./proscale_m2f_r18_camvid-semantic.py"
schedule = dict(_delete_=True, type="lite", coarse_layers=5)
decoder = dict(type="mmproscale.DeformablePixelDecoder", encoder=dict(schedule=schedule))
model = dict(decode_head=dict(pixel_decoder=decoder))
del schedule, decoder
