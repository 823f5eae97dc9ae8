"""Common part of pixel decoders with attention over the coarser levels, as in Mask2Former.

Input projections -> encoder -> pixel embedding -> mask projection. They replace mmdet's and mmseg's
``MSDeformAttnPixelDecoder``: the arguments are the same except ``encoder``, the weights have the
same names, and ``forward`` returns the same pair.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.layers import SinePositionalEncoding
from mmengine.model import ModuleList, caffe2_xavier_init, xavier_init
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmproscale.errors import InputError
from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder, exits_of_batch
from mmproscale.registry import build_part


class AttentionPixelDecoder(PixelDecoder):
    """Pixel decoder that encodes the coarser levels and fuses the finer ones top-down.

    A subclass adds the encoder and writes :meth:`encode_maps`.

    Args:
        encoded_strides: Strides of the levels that are encoded, low resolution first.
        exits: Numbers of layers after which an image may leave the encoder, ascending.
        in_channels: Channels of each backbone map, high resolution first.
        strides: Stride of each backbone map, in the same order.
        feat_channels: Channels C of the decoder's maps.
        out_channels: Channels of the mask features.
        num_outs: Number of encoded maps to return, low resolution first.
        norm_cfg: Normalisation of projections and embedding.
        act_cfg: Activation of the embedding.
        positional_encoding: Arguments of mmdet's ``SinePositionalEncoding``.
        pixel_embedding: Config of the embedding of each map finer than the encoder's; None if the
            encoder has the finest map.

    Raises:
        InputError: Not one stride for each map; a ``pixel_embedding`` without a map for it, or a
            map without it; more ``num_outs`` than maps.
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
        super().__init__(strides, encoded_strides, feat_channels, exits, init_cfg)
        if len(in_channels) != len(strides):
            raise InputError(
                f"pixel_decoder has {len(in_channels)} in_channels {tuple(in_channels)} but "
                f"{len(strides)} strides {tuple(strides)}: give one stride for each map"
            )
        channels = dict(zip(strides, in_channels, strict=True))
        # These maps are fused top-down, low resolution first.
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
                pixel_embedding or {}, embed_dims=feat_channels, norm_cfg=norm_cfg, act_cfg=act_cfg
            )
            for _ in self.fused_strides
        )
        self.mask_feature = nn.Conv2d(feat_channels, out_channels, kernel_size=1)

    def init_weights(self) -> None:
        """Initialise as Mask2Former does."""
        for projection in self.input_convs:
            xavier_init(projection.conv, gain=1, bias=0, distribution="uniform")
        for lateral, embedding in zip(self.lateral_convs, self.output_convs, strict=True):
            caffe2_xavier_init(lateral.conv, bias=0)
            embedding.init_weights()
        caffe2_xavier_init(self.mask_feature, bias=0)

    def embed(self, feats: Sequence[Tensor]) -> Encoded:
        """Encode each image to its own exit, as :meth:`PixelDecoder.embed`."""
        backbone, projected = self._project(feats)
        exits, maps = self.encode_images(projected)
        return Encoded(exits, *self._fuse(maps, self._laterals(backbone)))

    def encode(
        self, feats: Sequence[Tensor], exits: Sequence[int], with_cp: bool = False
    ) -> Iterator[Encoded]:
        """Encode all images to each exit, as :meth:`PixelDecoder.encode`."""
        fuse = partial(checkpoint, self._fuse, use_reentrant=False) if with_cp else self._fuse
        backbone, projected = self._project(feats)
        laterals: list[Tensor] = []
        for exit_, maps in self.encode_maps(projected, exits):
            laterals = laterals or self._laterals(backbone)
            yield Encoded(exits_of_batch(exit_, maps[0]), *fuse(maps, laterals))

    @abstractmethod
    def encode_maps(
        self, projected: dict[int, Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """Yield (exit, encoded maps low resolution first) at each exit.

        Args:
            projected: stride -> (B, C, H, W), low resolution first.
            exits: Some of the encoder's exits, ascending.
        """

    def encode_images(self, projected: dict[int, Tensor]) -> tuple[tuple[int, ...], list[Tensor]]:
        """Return each image's exit and the encoded maps, low resolution first.

        By default every image goes through all layers.

        Args:
            projected: stride -> (B, C, H, W), low resolution first.
        """
        last, maps = next(self.encode_maps(projected, self.exits[-1:]))
        return exits_of_batch(last, maps[0]), maps

    def _project(self, feats: Sequence[Tensor]) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Return maps by stride: the backbone's, and those to encode, low resolution first."""
        # Maps are channels_last, like tokens: on a CPU norms, pooling and 1x1 convolutions are then
        # up to three times faster, and no layer transposes a map.
        feats = [feat.contiguous(memory_format=torch.channels_last) for feat in feats]
        backbone = dict(zip(self.strides, feats, strict=True))
        projected = {
            stride: project(backbone[stride])
            for stride, project in zip(self.encoded_strides, self.input_convs, strict=True)
        }
        return backbone, projected

    def _laterals(self, backbone: dict[int, Tensor]) -> list[Tensor]:
        """Project the maps that the encoder leaves out, low resolution first."""
        return [
            lateral(backbone[stride])
            for stride, lateral in zip(self.fused_strides, self.lateral_convs, strict=True)
        ]

    def _fuse(
        self, maps: Sequence[Tensor], laterals: Sequence[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Fuse the maps top-down: return ``num_outs`` maps and the finest one, the embedding."""
        maps = list(maps)
        for lateral, embed in zip(laterals, self.output_convs, strict=True):
            size = lateral.shape[-2:]
            coarse = F.interpolate(maps[-1], size, mode="bilinear", align_corners=False)
            # Without gradients the sum is written over the resized map: to allocate one more map of
            # this size takes several times the addition.
            in_place = not torch.is_grad_enabled() and coarse.dtype == lateral.dtype
            maps.append(embed(coarse.add_(lateral) if in_place else lateral + coarse))
        return maps[: self.num_outs], maps[-1]
