# Mask2Former's recipe on ADE20K panoptic.
_base_ = [
    "../datasets/ade20k_panoptic.py",
    "../schedules/m2f_ade20k_160k.py",
    "../default_runtime.py",
]
