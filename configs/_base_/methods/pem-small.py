# PEM in a small model: its pixel decoder has half of the small model's width, as in the paper.
panoptic_head = dict(
    pixel_decoder=dict(_delete_=True, type="mmproscale.PEMPixelDecoder", channels=32),
    transformer_decoder=dict(layer_cfg=dict(type="PrototypeAttentionLayer")),
)
