# A small PRO-SCALE Mask2Former from scratch on the 11 classes of CamVid's 367 street photographs,
# in mmseg. max_iters suits a GPU; on a CPU shorten it, with the schedule: --cfg-options
# train_cfg.max_iters=2000 param_scheduler.1.end=2000
_base_ = [
    "_base_/models/semantic_m2f_r18.py",
    "_base_/datasets/camvid_semantic.py",
    "_base_/schedules/from_scratch_20k.py",
    "_base_/semantic_runtime.py",
]
num_classes = 11
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(
        num_classes=num_classes,
        num_queries=50,
        pixel_decoder=dict(
            type="mmproscale.ProScalePixelDecoder",
            encoder=dict(schedule=dict(_delete_=True, type="pro_scale", repeats=(3, 3, 3))),
        ),
        transformer_decoder=dict(num_layers=3),
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
        train_cfg=dict(num_points=2048),
    ),
    test_cfg=dict(crop_size=_base_.crop_size, stride=(128, 171)),
)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
