"""Contract of pixel decoders: backbone maps to encoded maps and a pixel embedding.

Heads, cost, timing and data tools tell this package's pixel decoders from stock's by this class.
``forward`` returns the pair that mmdet's and mmseg's heads expect.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmproscale.errors import InputError


class Encoded(NamedTuple):
    """Output of a pixel decoder for a batch of B images.

    Args:
        exits: Number of encoder layers that each image took; empty without layers to exit.
        maps: Encoded maps (B, C, H_i, W_i), low resolution first.
        embedding: Finest map (B, C, H, W), before the mask projection.
    """

    exits: tuple[int, ...]
    maps: list[Tensor]
    embedding: Tensor


def exits_of_batch(exit_: int, batch: Tensor) -> tuple[int, ...]:
    """Return the same exit for each image of a batch (B, ...); nothing where B may be free."""
    return () if torch.compiler.is_exporting() else (exit_,) * len(batch)


class PixelDecoder(BaseModule):
    """Abstract pixel decoder.

    Args:
        strides: Stride of each backbone map, high resolution first.
        encoded_strides: Strides of the levels that are encoded, low resolution first.
        map_channels: Channels C of the encoded maps.
        exits: Numbers of layers after which an image may leave the encoder, ascending; empty for a
            decoder that always runs completely.

    Attributes:
        mask_feature: Mask projection, embedding (B, C, H, W) to mask features.
    """

    mask_feature: nn.Module

    def __init__(
        self,
        strides: Sequence[int],
        encoded_strides: Sequence[int],
        map_channels: int,
        exits: Sequence[int] = (),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.strides = tuple(strides)
        self.encoded_strides = tuple(encoded_strides)
        self.map_channels = map_channels
        self.exits = tuple(exits)

    @abstractmethod
    def embed(self, feats: Sequence[Tensor]) -> Encoded:
        """Encode a batch, each image to its own exit.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
        """

    def encode(
        self, feats: Sequence[Tensor], exits: Sequence[int], with_cp: bool = False
    ) -> Iterator[Encoded]:
        """Yield the batch as it leaves the encoder at each exit, ascending.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            exits: Some of :attr:`exits`; layers that exits share run once.
            with_cp: Compute the pixel embedding again in the backward pass, which saves memory.

        Raises:
            InputError: An exit that the encoder does not have.
        """
        raise InputError(f"{type(self).__name__} has no exits, but exits={tuple(exits)} is given")

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return mask features and encoded maps, as mmdet's pixel decoder does.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.

        Returns:
            Mask features (B, out_channels, H, W) at the finest stride, and the encoded maps
            (B, C, H_i, W_i), low resolution first.
        """
        encoded = self.embed(feats)
        return self.mask_feature(encoded.embedding), encoded.maps

    @property
    def projects_linearly(self) -> bool:
        """True if the mask projection is a 1x1 convolution without norm or activation.

        Only then can queries be projected instead of pixels.
        """
        return isinstance(self.mask_feature, nn.Conv2d)

    @property
    def least_images(self) -> int:
        """Smallest batch with which this can train."""
        return 1
