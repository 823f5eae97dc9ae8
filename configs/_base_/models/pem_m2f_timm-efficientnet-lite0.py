_base_ = ["./m2f_timm-efficientnet-lite0.py", "../methods/pem-small.py"]
model = dict(panoptic_head=_base_.panoptic_head)
