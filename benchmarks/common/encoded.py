"""Mask decoders measured without their pixel decoder, on maps that are computed once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor, nn

from common.models import build
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder
from mmproscale.timing.conditions import autocast
from mmproscale.timing.measurement import Stopwatch

STRIDES = (32, 16, 8, 4)


class GivenMaps(PixelDecoder):
    """Pixel decoder that returns given maps, for our heads and for mmdet's.

    Args:
        projection: Mask projection.
        maps: Encoded maps (B, C, H_i, W_i), low resolution first.
        embedding: Finest map (B, C, H, W), before the projection.
    """

    def __init__(self, projection: nn.Module, maps: list[Tensor], embedding: Tensor) -> None:
        super().__init__(STRIDES[::-1], STRIDES[:3], embedding.shape[1])
        self.mask_feature, self.maps, self.embedding = projection, maps, embedding
        self.mask_features = projection(embedding)

    def forward(self, feats: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Return mask features that are computed once, and the maps."""
        return self.mask_features, self.maps

    def embed(self, feats: Sequence[Tensor] | None) -> Encoded:
        """Return the given maps and embedding, without exits."""
        return Encoded((), self.maps, self.embedding)


@torch.no_grad()
def head_on_noise(
    model: ConfigDict,
    size: tuple[int, int],
    args: argparse.Namespace,
    weights: Mapping[str, Tensor] | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> nn.Module:
    """Return the model's head with encoded maps of noise for an image of ``size`` (H, W)."""
    head = build(model, weights).eval().to(args.device).panoptic_head
    generator = torch.Generator().manual_seed(0)
    channels = head.pixel_decoder.map_channels if isinstance(head, MaskHead) else 256
    *maps, embedding = (
        torch.randn(1, channels, size[0] // s, size[1] // s, generator=generator)
        .contiguous(memory_format=memory_format)
        .to(args.device)
        for s in STRIDES
    )
    head.pixel_decoder = GivenMaps(head.pixel_decoder.mask_feature, maps, embedding)
    return head


@torch.no_grad()
def decode(head: nn.Module, args: argparse.Namespace, watch: Stopwatch) -> Tensor:
    """Return the last masks at stride 4, from our head or mmdet's."""
    with autocast(args), watch.part("whole"):
        if isinstance(head, MaskHead):
            return head.decode(None).masks()
        return head([head.pixel_decoder.embedding], [DetDataSample(metainfo={})])[1][-1]
