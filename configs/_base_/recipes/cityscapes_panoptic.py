# Mask2Former's recipe on Cityscapes panoptic.
_base_ = [
    "../datasets/cityscapes_panoptic.py",
    "../schedules/m2f_cityscapes_90k.py",
    "../default_runtime.py",
]
