# Two real COCO images through proscale_m2f_r50_coco.py, smaller: can it learn 133 classes by heart?
# python tools/train.py tests/configs/overfit_coco_sample.py --cfg-options data_root=FOLDER
_base_ = "../../configs/proscale_m2f_r50_coco.py"
data_root = "data/coco_panoptic_sample/"
side = (256, 256)
model = dict(
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(init_cfg=None, norm_cfg=dict(requires_grad=True), norm_eval=False),
    panoptic_head=dict(
        num_queries=50,
        pixel_decoder=dict(encoder=dict(schedule=dict(repeats=(1, 1, 1)))),
        transformer_decoder=dict(num_layers=3),
    ),
    train_cfg=dict(num_points=4096),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, fused=True),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),
)
max_iters = 1000
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min=0, by_epoch=False, begin=50, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=100, dynamic_intervals=None)
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=1))
dataset = dict(
    data_root=data_root,
    ann_file="panoptic_examples.json",
    data_prefix=dict(img="images/", seg="panoptic_val2017/"),
)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    # An epoch is one step here, and mmengine pauses between epochs.
    sampler=dict(type="InfiniteSampler"),
    batch_sampler=None,
    dataset=dict(
        dataset,
        pipeline=[
            dict(type="mmproscale.LoadImage"),
            dict(type="mmproscale.LoadPanoptic"),
            dict(type="Resize", scale=side, keep_ratio=True),
            dict(type="PackDetInputs"),
        ],
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        dataset,
        pipeline=[
            dict(type="mmproscale.LoadImage"),
            dict(type="Resize", scale=side, keep_ratio=True),
            dict(
                type="PackDetInputs",
                meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
            ),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + "panoptic_examples.json", seg_prefix=data_root + "panoptic_val2017/"
)
test_evaluator = val_evaluator
del side, max_iters, dataset
