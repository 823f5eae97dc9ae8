# DINO with PRO-SCALE's encoder.
_base_ = ["./dino_r50.py", "../methods/proscale_detr.py"]
model = _base_.method
