# PEM on CamVid's 11 classes, in mmseg. Its pixel decoder has half of the small model's width.
_base_ = "./proscale_m2f_r18_camvid-semantic.py"
decoder = dict(_delete_=True, type="mmproscale.PEMPixelDecoder", channels=32)
layers = dict(layer_cfg=dict(type="PrototypeAttentionLayer"))
model = dict(decode_head=dict(pixel_decoder=decoder, transformer_decoder=layers))
del decoder, layers
