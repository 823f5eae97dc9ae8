_base_ = ["./dino_r50.py", "../backbones/r18-dino.py"]
model = _base_.small_dino
