# Mask2Former's recipe on COCO's instances.
_base_ = ["../datasets/coco_instance.py", "../schedules/m2f_coco_50e.py", "../default_runtime.py"]
