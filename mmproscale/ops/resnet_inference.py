"""ResNet for inference on a CPU: batch norms in the convolutions, channels last.

Source: mmdet's ``ResNet`` (He et al., CVPR 2016), whose weights and results these are.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from mmproscale.ops.cpu_inference import convolution_and_norm


def resnet(backbone: Any, x: Tensor) -> tuple[Tensor, ...]:
    """Return what mmdet's ``ResNet`` returns, maps (B, C_i, H_i, W_i), for images (B, 3, H, W).

    Args:
        backbone: The backbone, in evaluation mode.
        x: Images on a CPU, without gradients.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    stem = backbone.stem if backbone.deep_stem else (backbone.conv1, backbone.norm1, backbone.relu)
    x = backbone.maxpool(_sequence(stem, x))
    maps = []
    for index, name in enumerate(backbone.res_layers):
        for block in getattr(backbone, name):
            x = _block(block, x)
        if index in backbone.out_indices:
            maps.append(x.contiguous())
    return tuple(maps)


def _block(block: Any, x: Tensor) -> Tensor:
    """Return ``block(x)``."""
    convolutions = {BasicBlock.forward: 2, Bottleneck.forward: 3}.get(type(block).forward)
    if convolutions is None or getattr(block, "with_plugins", False):
        return block(x)
    out = x
    for number in range(1, convolutions + 1):
        conv, norm = (getattr(block, f"{name}{number}") for name in ("conv", "norm"))
        out = convolution_and_norm(conv, norm, out, relu=number < convolutions)
    out += x if block.downsample is None else _sequence(block.downsample, x)
    return out.relu_()


def _sequence(layers: Any, x: Tensor) -> Tensor:
    """Return the output of layers one after the other, each convolution with the norm after it."""
    layers = list(layers)
    while layers:
        layer = layers.pop(0)
        if isinstance(layer, nn.Conv2d) and layers:
            relu = len(layers) > 1 and type(layers[1]) is nn.ReLU
            x = convolution_and_norm(layer, layers[0], x, relu)
            layers = layers[1 + relu :]
        else:
            x = layer(x)
    return x
