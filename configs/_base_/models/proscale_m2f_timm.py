_base_ = ["./proscale_m2f_r50.py", "../backbones/timm.py"]
model = _base_.timm_parts
