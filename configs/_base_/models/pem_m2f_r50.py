# PEM: a convolutional pixel decoder of half the width, and six decoder layers whose queries read
# prototypes. 0 to 6 layers are the paper's Figure 5.
_base_ = "./m2f_r50.py"
model = dict(
    panoptic_head=dict(
        pixel_decoder=dict(_delete_=True, type="mmproscale.PEMPixelDecoder", channels=128),
        transformer_decoder=dict(num_layers=6, layer_cfg=dict(type="PrototypeAttentionLayer")),
    )
)
