# What mmseg's segmentor has around backbone and head: padding to the crop's size in training, and
# to multiples of 32 in tests, which are of whole images. A model takes the variable.
segmentor = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        test_cfg=dict(size_divisor=32),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
