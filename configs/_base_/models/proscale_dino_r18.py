# DINO with PRO-SCALE's encoder, (1,1,1): strides 64 and 32 begin together.
_base_ = ["./dino_r50.py", "../backbones/r18-dino.py"]
model = _base_.small_dino
model.encoder.schedule = dict(
    _delete_=True, type="pro_scale", repeats=(1, 1, 1), levels=((64, 32), 16, 8)
)
model.recalibration = dict(_delete_=True, type="TRC")
