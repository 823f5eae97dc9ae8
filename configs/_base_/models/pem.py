# What PEM changes in a Mask2Former's head: a convolutional pixel decoder of half the width, and
# decoder layers whose queries read prototypes. 0 to 6 layers are the paper's Figure 5. A config
# takes both variables into its model.
pixel_decoder = dict(type="mmproscale.PEMPixelDecoder", channels=128)
transformer_decoder = dict(num_layers=6, layer_cfg=dict(type="PrototypeAttentionLayer"))
