"""The pixel decoder of Mask2Former and its kin, around a scheduled encoder.

Input projections -> token recalibration -> scheduled encoder -> pixel embedding -> mask projection.
A drop-in for mmdet's and mmseg's ``MSDeformAttnPixelDecoder``: same arguments but for ``encoder``,
same weights by name, same pair returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.layers import SinePositionalEncoding
from mmengine.model import BaseModule, ModuleList, caffe2_xavier_init, normal_init, xavier_init
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.pixel_decoders.scheduled_encoder import ScheduledEncoder
from mmproscale.pixel_decoders.token_layout import TokenLayout, to_tokens
from mmproscale.registry import MODELS


@MODELS.register_module()
class DeformablePixelDecoder(BaseModule):
    """Backbone maps in, encoded maps and per-pixel mask features out.

    Args:
        in_channels: Channels of each backbone map, high resolution first.
        strides: Stride of each backbone map, in the same order.
        feat_channels: Channels C within.
        out_channels: Channels of the mask features.
        num_outs: How many encoded maps are returned, low resolution first.
        norm_cfg: Normalisation of projections and embedding.
        act_cfg: Activation of the embedding.
        encoder: ``dict(schedule=..., layer_cfg=...)``; ``num_layers`` in the schedule's place is
            Mask2Former's schedule of so many layers.
        positional_encoding: Arguments of mmdet's ``SinePositionalEncoding``.
        recalibration: Config of TRC, or None for none.
        pixel_embedding: Config of what stands on each map finer than the encoder's.

    Raises:
        InputError: A schedule that can't be or that names a level without a map; ``num_layers``
            beside ``schedule``; not one stride for each map.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        strides: Sequence[int] = (4, 8, 16, 32),
        feat_channels: int = 256,
        out_channels: int = 256,
        num_outs: int = 3,
        norm_cfg: dict | None = dict(type="GN", num_groups=32),
        act_cfg: dict | None = dict(type="ReLU"),
        encoder: dict | None = None,
        positional_encoding: dict = dict(num_feats=128, normalize=True),
        recalibration: dict | None = None,
        pixel_embedding: dict = dict(type="ConvPixelEmbedding"),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if len(in_channels) != len(strides):
            raise InputError(
                f"pixel_decoder has {len(in_channels)} in_channels {tuple(in_channels)} but "
                f"{len(strides)} strides {tuple(strides)}: give one stride for each map"
            )
        self.strides = tuple(strides)
        channels = dict(zip(strides, in_channels, strict=True))
        self.encoder = build_encoder(encoder)
        schedule = self.encoder.schedule
        schedule.check_maps(self.strides)
        self.encoded_strides = schedule.strides
        # Maps finer than the encoder's are fused top-down, low resolution first.
        self.fused_strides = tuple(
            sorted((s for s in strides if s < min(schedule.strides)), reverse=True)
        )
        self.num_outs = num_outs

        self.input_convs = ModuleList(
            ConvModule(channels[s], feat_channels, 1, norm_cfg=norm_cfg, act_cfg=None, bias=True)
            for s in self.encoded_strides
        )
        self.positional_encoding = SinePositionalEncoding(**positional_encoding)
        self.level_encoding = nn.Embedding(len(self.encoded_strides), feat_channels)
        if recalibration and len(self.encoded_strides) == 1:
            raise InputError(f"schedule {schedule} has one level: TRC recalibrates coarser ones")
        self.recalibration = recalibration and _build_part(recalibration, embed_dims=feat_channels)
        self.lateral_convs = ModuleList(
            ConvModule(channels[s], feat_channels, 1, norm_cfg=norm_cfg, act_cfg=None)
            for s in self.fused_strides
        )
        self.output_convs = ModuleList(
            _build_part(
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
        normal_init(self.level_encoding, mean=0, std=1)
        self.encoder.init_weights()
        if self.recalibration:
            self.recalibration.init_weights()

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Mask features and encoded maps, as mmdet's pixel decoder returns them.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.

        Returns:
            Mask features (B, out_channels, H, W) at the finest stride, and ``num_outs`` maps
            (B, C, H_i, W_i), low resolution first.
        """
        _, maps, embedding = next(self.encode(feats, exits=self.encoder.schedule.exits[-1:]))
        return self.mask_feature(embedding), maps

    def encode(
        self, feats: Sequence[Tensor], exits: Sequence[int]
    ) -> Iterator[tuple[int, list[Tensor], Tensor]]:
        """Yield (exit, maps, embedding before the mask projection) at each exit, ascending.

        Args:
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            exits: Legal exits of the schedule; layers that exits share run once.

        Raises:
            InputError: An exit that the schedule does not have.
        """
        exits = self.encoder.schedule.check_exits(exits)
        # Tokens keep their channels together, so every map does: on a CPU norms, pooling and 1x1
        # convolutions are up to three times faster so, and no layer turns a map around.
        feats = [feat.contiguous(memory_format=torch.channels_last) for feat in feats]
        backbone = dict(zip(self.strides, feats, strict=True))
        projected = {
            stride: project(backbone[stride])
            for stride, project in zip(self.encoded_strides, self.input_convs, strict=True)
        }
        layout = TokenLayout.of(projected)
        tokens = {stride: to_tokens(m) for stride, m in projected.items()}
        pos, gates = self._positions(projected), self._gates(projected, layout)
        for exit_, encoded in self.encoder.encode(tokens, pos, layout, gates, exits):
            maps = [layout.to_map(encoded[stride], stride) for stride in self.encoded_strides]
            maps += self._fuse(maps[-1], backbone)
            yield exit_, maps[: self.num_outs], maps[-1]

    def _positions(self, projected: dict[int, Tensor]) -> dict[int, Tensor]:
        """Sine position plus level embedding of each level, stride -> (1, N, C)."""
        positions = {}
        for (stride, feature_map), level in zip(
            projected.items(), self.level_encoding.weight, strict=True
        ):
            no_padding = feature_map.new_zeros((1, *feature_map.shape[-2:]), dtype=torch.bool)
            sine = self.positional_encoding(no_padding).to(feature_map.dtype)
            positions[stride] = to_tokens(sine) + level
        return positions

    def _gates(self, projected: dict[int, Tensor], layout: TokenLayout) -> dict[int, Tensor]:
        """TRC's gate of every level but the finest, which enters as it is."""
        if not self.recalibration:
            return {}
        *coarser, finest = self.encoded_strides
        return {s: self.recalibration(projected[finest], layout.shape(s)) for s in coarser}

    def _fuse(self, coarse: Tensor, backbone: dict[int, Tensor]) -> list[Tensor]:
        """Top-down through the maps that the encoder leaves out, low resolution first."""
        fused = []
        for stride, lateral, embed in zip(
            self.fused_strides, self.lateral_convs, self.output_convs, strict=True
        ):
            lateral_map = lateral(backbone[stride])
            size = lateral_map.shape[-2:]
            coarse = embed(
                lateral_map + F.interpolate(coarse, size, mode="bilinear", align_corners=False)
            )
            fused.append(coarse)
        return fused


@MODELS.register_module(name="ProScalePixelDecoder")
def pro_scale_pixel_decoder(
    encoder: dict,
    recalibration: dict | None = dict(type="TRC"),
    pixel_embedding: dict = dict(type="LPE"),
    **arguments,
) -> DeformablePixelDecoder:
    """:class:`DeformablePixelDecoder` with PRO-SCALE's defaults: (3, 3, 3), TRC and LPE."""
    encoder = dict(schedule=dict(type="pro_scale", repeats=(3, 3, 3))) | dict(encoder)
    return DeformablePixelDecoder(
        encoder=encoder,
        recalibration=recalibration,
        pixel_embedding=pixel_embedding,
        **arguments,
    )


def build_encoder(config: dict | None) -> ScheduledEncoder:
    """The encoder of ``dict(schedule=..., layer_cfg=...)`` or stock's ``num_layers``.

    Raises:
        InputError: Both ``schedule`` and ``num_layers``, or neither; an unknown key.
    """
    config = dict(config or {})
    num_layers, schedule = config.pop("num_layers", None), config.pop("schedule", None)
    if (num_layers is None) == (schedule is None):
        raise InputError(
            f"pixel_decoder.encoder has num_layers={num_layers} and schedule={schedule}: give one "
            "(where a base config brings num_layers, set it to None)"
        )
    layer_cfg = config.pop("layer_cfg", None)
    if layer_cfg is None or set(config) - {"init_cfg"}:
        raise InputError(
            "pixel_decoder.encoder takes schedule or num_layers, layer_cfg and init_cfg; it has "
            f"{sorted(config)} and {'no' if layer_cfg is None else 'a'} layer_cfg"
        )
    if schedule is None:
        # Stock levels are the coarsest num_levels of Mask2Former's strides.
        levels = [32 // 2**i for i in range(layer_cfg["self_attn_cfg"]["num_levels"])]
        schedule = dict(type="m2f", layers=num_layers, levels=levels)
    return ScheduledEncoder(schedule, layer_cfg, config.get("init_cfg"))


def _build_part(config: dict, **defaults) -> BaseModule:
    """A part of ours by its plain name (``TRC``), whatever default scope the config runs in."""
    return MODELS.build(dict(config, _scope_="mmproscale"), default_args=defaults)
