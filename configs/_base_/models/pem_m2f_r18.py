_base_ = ["./m2f_r18.py", "../methods/pem-small.py"]
model = dict(panoptic_head=_base_.panoptic_head)
