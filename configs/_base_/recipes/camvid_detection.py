# 3,000 iterations from scratch on CamVid's boxes.
_base_ = [
    "../datasets/camvid_detection.py",
    "../schedules/detr_from_scratch_3k.py",
    "../default_runtime.py",
]
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=1))
model_settings = dict(num_queries=60, test_cfg=dict(max_per_img=60))
