# PRO-SCALE (3,3,3): tokens of stride 32, 16, 8 join every three layers; light pixel embedding.
pixel_decoder = dict(
    type="mmproscale.ProScalePixelDecoder",
    encoder=dict(schedule=dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3))),
)
