"""Small deformable pixel decoders and backbone maps for them."""

import copy
from typing import Any

import torch
from torch import Tensor

from mmproscale.models.pixel_decoders.deformable_pixel_decoder import DeformablePixelDecoder

ATTENTION = dict(
    embed_dims=64, num_heads=8, num_levels=3, num_points=4, dropout=0.0, batch_first=True
)
LAYER = dict(
    self_attn_cfg=ATTENTION,
    ffn_cfg=dict(
        embed_dims=64,
        feedforward_channels=128,
        num_fcs=2,
        ffn_drop=0.0,
        act_cfg=dict(type="ReLU", inplace=True),
    ),
)
SMALL = dict(
    in_channels=[16, 32, 64, 128],
    feat_channels=64,
    out_channels=64,
    positional_encoding=dict(num_feats=32, normalize=True),
)


def backbone_maps(batch: int = 2, height: int = 96, width: int = 64) -> list[Tensor]:
    return [
        torch.randn(batch, c, -(-height // s), -(-width // s))
        for c, s in zip(SMALL["in_channels"], (4, 8, 16, 32), strict=True)
    ]


def deformable_decoder(
    schedule: dict, num_levels: int = 3, **arguments: Any
) -> DeformablePixelDecoder:
    """Build a small decoder of a schedule, in evaluation."""
    layer = copy.deepcopy(LAYER)
    layer["self_attn_cfg"]["num_levels"] = num_levels
    encoder = dict(schedule=schedule, layer_cfg=layer)
    return DeformablePixelDecoder(encoder=encoder, **(SMALL | arguments)).eval()
