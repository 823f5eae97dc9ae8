# PRO-SCALE's recipe on Cityscapes panoptic.
_base_ = [
    "../datasets/cityscapes_panoptic.py",
    "../schedules/proscale_cityscapes_90k.py",
    "../default_runtime.py",
]
