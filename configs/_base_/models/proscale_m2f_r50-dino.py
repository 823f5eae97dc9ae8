_base_ = ["./proscale_m2f_r50.py", "../backbones/r50-dino.py"]
model = dict(backbone=_base_.backbone)
