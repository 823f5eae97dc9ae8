# From scratch on CamVid. The iterations suit a GPU; on a CPU shorten them, with the schedule:
# --cfg-options train_cfg.max_iters=2000 param_scheduler.1.end=2000
_base_ = [
    "../datasets/camvid_panoptic.py",
    "../schedules/from_scratch_20k.py",
    "../default_runtime.py",
]
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
