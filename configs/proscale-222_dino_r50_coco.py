# Strides 64 and 32 begin together.
_base_ = "./proscale_dino_r50_coco.py"
model = dict(encoder=dict(schedule=dict(repeats=(2, 2, 2), levels=((64, 32), 16, 8))))
