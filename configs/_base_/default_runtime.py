# Hooks, loops and logging of all configs. The scope is mmdet's; our types have a prefix.
custom_imports = dict(imports=["mmproscale"])
default_scope = "mmdet"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="mmproscale.AtomicCheckpointHook",
        interval=5000,
        by_epoch=False,
        save_last=True,
        max_keep_ckpts=3,
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="mmproscale.ClassCheckHook"),
    dict(type="mmproscale.ClassNamesHook"),
    dict(type="mmproscale.CheckpointMatchHook"),
    dict(type="mmproscale.GroundTruthCheckHook"),
    dict(type="mmproscale.ResumeHook"),
    dict(type="mmproscale.FiniteNumbersHook"),
]
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="DetLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=False)
log_level = "INFO"
load_from = None
resume = False
