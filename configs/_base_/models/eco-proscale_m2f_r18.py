_base_ = ["./eco-proscale_m2f_r50.py", "../backbones/r18.py"]
model = _base_.small_model
