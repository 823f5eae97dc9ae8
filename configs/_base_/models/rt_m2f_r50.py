# RT-M2F: attention on stride 32, RT-DETR's fusion of levels, Mask2Former's pixel embedding.
_base_ = "./m2f_r50.py"
layer = dict(ffn_cfg=dict(act_cfg=dict(_delete_=True, type="GELU")))
encoder = dict(schedule=None, num_layers=1, layer_cfg=layer)
decoder = dict(type="mmproscale.HybridPixelDecoder", encoder=encoder)
model = dict(panoptic_head=dict(pixel_decoder=decoder))
del layer, encoder, decoder
