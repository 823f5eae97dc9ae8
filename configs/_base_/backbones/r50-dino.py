# ResNet-50, pretrained by DINO without labels. Make the file from the published one:
# python tools/convert.py FILE weights/dino_r50.pth
backbone = dict(init_cfg=dict(checkpoint="weights/dino_r50.pth"))
