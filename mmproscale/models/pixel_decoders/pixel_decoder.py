"""What the pixel decoders of Mask2Former and its kin share, around whatever encodes the maps.

Input projections -> encoder -> pixel embedding -> mask projection. A drop-in for mmdet's and
mmseg's ``MSDeformAttnPixelDecoder``: same arguments but for ``encoder``, same weights by name, same
pair returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.layers import SinePositionalEncoding
from mmengine.model import BaseModule, ModuleList, caffe2_xavier_init, xavier_init
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmproscale.errors import InputError
from mmproscale.registry import MODELS


class PixelDecoder(BaseModule):
    """Backbone maps in, encoded maps and per-pixel mask features out.

    Args:
        encoded_strides: The levels that are encoded, low resolution first.
        exits: Where an image may leave the encoder, ascending.
        in_channels: Channels of each backbone map, high resolution first.
        strides: Stride of each backbone map, in the same order.
        feat_channels: Channels C within.
        out_channels: Channels of the mask features.
        num_outs: How many encoded maps are returned, low resolution first.
        norm_cfg: Normalisation of projections and embedding.
        act_cfg: Activation of the embedding.
        positional_encoding: Arguments of mmdet's ``SinePositionalEncoding``.
        pixel_embedding: Config of what stands on each map finer than the encoder's; None where the
            encoder has the finest.

    Raises:
        InputError: Not one stride for each map; a pixel embedding and no map for it, or none for a
            map; more ``num_outs`` than maps.
    """

    def __init__(
        self,
        encoded_strides: Sequence[int],
        exits: Sequence[int],
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        strides: Sequence[int] = (4, 8, 16, 32),
        feat_channels: int = 256,
        out_channels: int = 256,
        num_outs: int = 3,
        norm_cfg: dict | None = dict(type="GN", num_groups=32),
        act_cfg: dict | None = dict(type="ReLU"),
        positional_encoding: dict = dict(num_feats=128, normalize=True),
        pixel_embedding: dict | None = dict(type="ConvPixelEmbedding"),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if len(in_channels) != len(strides):
            raise InputError(
                f"pixel_decoder has {len(in_channels)} in_channels {tuple(in_channels)} but "
                f"{len(strides)} strides {tuple(strides)}: give one stride for each map"
            )
        self.strides = tuple(strides)
        self.encoded_strides = tuple(encoded_strides)
        self.exits = tuple(exits)
        channels = dict(zip(strides, in_channels, strict=True))
        # Maps finer than the encoder's are fused top-down, low resolution first.
        self.fused_strides = tuple(
            sorted((s for s in strides if s < min(encoded_strides)), reverse=True)
        )
        if bool(self.fused_strides) != bool(pixel_embedding):
            raise InputError(
                f"pixel_decoder encodes strides {self.encoded_strides} of {self.strides}: "
                f"pixel_embedding={pixel_embedding} does not fit (None where all are encoded)"
            )
        if not 1 <= num_outs <= len(self.encoded_strides) + len(self.fused_strides):
            raise InputError(f"pixel_decoder.num_outs={num_outs}: it has maps {self.strides}")
        self.num_outs = num_outs

        self.input_convs = ModuleList(
            ConvModule(channels[s], feat_channels, 1, norm_cfg=norm_cfg, act_cfg=None, bias=True)
            for s in self.encoded_strides
        )
        self.positional_encoding = SinePositionalEncoding(**positional_encoding)
        self.lateral_convs = ModuleList(
            ConvModule(channels[s], feat_channels, 1, norm_cfg=norm_cfg, act_cfg=None)
            for s in self.fused_strides
        )
        self.output_convs = ModuleList(
            build_part(
                pixel_embedding, embed_dims=feat_channels, norm_cfg=norm_cfg, act_cfg=act_cfg
            )
            for _ in self.fused_strides
        )
        self.mask_feature = nn.Conv2d(feat_channels, out_channels, kernel_size=1)

    def init_weights(self) -> None:
        """Mask2Former's initialisation."""
        for projection in self.input_convs:
            xavier_init(projection.conv, gain=1, bias=0, distribution="uniform")
        for lateral, embedding in zip(self.lateral_convs, self.output_convs, strict=True):
            caffe2_xavier_init(lateral.conv, bias=0)
            embedding.init_weights()
        caffe2_xavier_init(self.mask_feature, bias=0)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Mask features and encoded maps, as mmdet's pixel decoder returns them.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.

        Returns:
            Mask features (B, out_channels, H, W) at the finest stride, and ``num_outs`` maps
            (B, C, H_i, W_i), low resolution first.
        """
        _, maps, embedding = self.embed(feats)
        return self.mask_feature(embedding), maps

    def embed(self, feats: Sequence[Tensor]) -> tuple[tuple[int, ...], list[Tensor], Tensor]:
        """Each image's exit, encoded maps, and the embedding before the mask projection.

        Arguments and maps are those of :meth:`forward`.
        """
        backbone, projected = self._project(feats)
        exits, maps = self.encode_images(projected)
        return exits, *self._fuse(maps, self._laterals(backbone))

    def encode(
        self, feats: Sequence[Tensor], exits: Sequence[int], with_cp: bool = False
    ) -> Iterator[tuple[int, list[Tensor], Tensor]]:
        """Yield (exit, maps, embedding before the mask projection) at each exit, ascending.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            exits: Some of the encoder's; layers that exits share run once.
            with_cp: Whether the pixel embedding is computed again in the backward pass, which saves
                memory.

        Raises:
            InputError: An exit that the encoder does not have.
        """
        fuse = partial(checkpoint, self._fuse, use_reentrant=False) if with_cp else self._fuse
        backbone, projected = self._project(feats)
        laterals: list[Tensor] = []
        for exit_, maps in self.encode_maps(projected, exits):
            laterals = laterals or self._laterals(backbone)
            yield exit_, *fuse(maps, laterals)

    def encode_maps(
        self, projected: dict[int, Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """Yield (exit, encoded maps low resolution first) at each exit; the subclass's encoder.

        Args:
            projected: stride -> (B, C, H, W), low resolution first.
            exits: As :meth:`encode`'s.
        """
        raise NotImplementedError

    def encode_images(self, projected: dict[int, Tensor]) -> tuple[tuple[int, ...], list[Tensor]]:
        """Each image's exit, and encoded maps low resolution first: here all layers for all.

        Args:
            projected: stride -> (B, C, H, W), low resolution first.
        """
        last, maps = next(self.encode_maps(projected, self.exits[-1:]))
        return (last,) * len(maps[0]), maps

    def _project(self, feats: Sequence[Tensor]) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Maps by stride: the backbone's, and those to encode, low resolution first."""
        # Tokens keep their channels together, so every map does: on a CPU norms, pooling and 1x1
        # convolutions are up to three times faster so, and no layer turns a map around.
        feats = [feat.contiguous(memory_format=torch.channels_last) for feat in feats]
        backbone = dict(zip(self.strides, feats, strict=True))
        projected = {
            stride: project(backbone[stride])
            for stride, project in zip(self.encoded_strides, self.input_convs, strict=True)
        }
        return backbone, projected

    def _laterals(self, backbone: dict[int, Tensor]) -> list[Tensor]:
        """Projections of the maps that the encoder leaves out, low resolution first."""
        return [
            lateral(backbone[stride])
            for stride, lateral in zip(self.fused_strides, self.lateral_convs, strict=True)
        ]

    def _fuse(
        self, maps: Sequence[Tensor], laterals: Sequence[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Top-down through the maps that the encoder leaves out: maps, and the finest of all."""
        maps = list(maps)
        for lateral, embed in zip(laterals, self.output_convs, strict=True):
            size = lateral.shape[-2:]
            coarse = F.interpolate(maps[-1], size, mode="bilinear", align_corners=False)
            maps.append(embed(lateral + coarse))
        return maps[: self.num_outs], maps[-1]


def build_part(config: dict, **defaults: object) -> BaseModule:
    """A part of ours by its plain name (``TRC``), whatever default scope the config runs in.

    Raises:
        InputError: No type.
    """
    if "type" not in config:
        raise InputError(f"{dict(config)} is a part of a pixel decoder without a type, as 'TRC'")
    return MODELS.build(dict(config, _scope_="mmproscale"), default_args=defaults)
