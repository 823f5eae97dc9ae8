# ResNet-101: its differences from a model's ResNet-50.
backbone = dict(depth=101, init_cfg=dict(checkpoint="torchvision://resnet101"))
