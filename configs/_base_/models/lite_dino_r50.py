# DINO with Lite-DETR's encoder.
_base_ = ["./dino_r50.py", "../methods/lite_detr.py"]
model = _base_.method
