# Loaders for 16 images on 8 GPUs, steps of pipelines, and padding, which all datasets share. A
# dataset adds its files, its pipelines and model_settings, which a config takes into its model.
load_image = dict(type="mmproscale.LoadImage")
flip = dict(type="RandomFlip", prob=0.5)
crop = dict(type="RandomCrop", crop_type="absolute", allow_negative_crop=True)
pack = dict(type="PackDetInputs")
# The metric reads the ground truth itself, so testing loads images only.
pack_image = dict(
    type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
)
pad = dict(
    type="BatchFixedSizePad",
    img_pad_value=0,
    pad_mask=True,
    mask_pad_value=0,
    pad_seg=True,
    seg_pad_value=255,
)

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(test_mode=True),
)
test_dataloader = val_dataloader
