# Lite DETR's encoder: five layers update the coarse levels and read all, a sixth updates all.
pixel_decoder = dict(encoder=dict(schedule=dict(_delete_=True, type="lite", coarse_layers=5)))
