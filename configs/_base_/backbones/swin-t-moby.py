# Swin-T, pretrained by MoBY without labels. Make the file from the published one:
# python tools/convert.py FILE weights/moby_swin-t.pth
_base_ = "./swin-t.py"
backbone = dict(
    convert_weights=False,  # done by the tool; mmdet's conversion would be a second one
    init_cfg=dict(checkpoint="weights/moby_swin-t.pth"),
)
