# PEM on CamVid. Its pixel decoder has half of the small model's width, as the paper's.
_base_ = "./proscale_m2f_r18_camvid.py"
decoder = dict(_delete_=True, type="mmproscale.PEMPixelDecoder", channels=32)
layers = dict(layer_cfg=dict(type="PrototypeAttentionLayer"))
model = dict(panoptic_head=dict(pixel_decoder=decoder, transformer_decoder=layers))
del decoder, layers
