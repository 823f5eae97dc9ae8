# The recipe of mmseg's Mask2Former on Cityscapes.
_base_ = [
    "../datasets/cityscapes_semantic.py",
    "../schedules/m2f_cityscapes_90k.py",
    "../semantic_runtime.py",
]
