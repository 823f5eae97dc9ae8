# The recipe of mmseg's Mask2Former on ADE20K.
_base_ = [
    "../datasets/ade20k_semantic.py",
    "../schedules/m2f_ade20k_160k.py",
    "../semantic_runtime.py",
]
