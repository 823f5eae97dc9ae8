# Swin-T as DINO's authors train it: strides 8 to 32 for the neck, and less drop path.
_base_ = "./swin-t.py"
backbone = dict(out_indices=(1, 2, 3), drop_path_rate=0.2)
neck = dict(in_channels=_base_.backbone_channels[1:])
