# Mask2Former's recipe on COCO panoptic.
_base_ = ["../datasets/coco_panoptic.py", "../schedules/m2f_coco_50e.py", "../default_runtime.py"]
