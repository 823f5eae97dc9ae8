# What ResNet-101 changes in a model with ResNet-50.
backbone = dict(depth=101, init_cfg=dict(checkpoint="torchvision://resnet101"))
