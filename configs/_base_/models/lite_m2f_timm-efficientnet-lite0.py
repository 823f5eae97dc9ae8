_base_ = ["./lite_m2f_r50.py", "../backbones/timm-efficientnet-lite0.py"]
model = dict(_base_.small_model, backbone=_base_.backbone)
