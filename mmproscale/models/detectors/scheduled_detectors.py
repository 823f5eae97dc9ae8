"""mmdet's Deformable DETR, DINO and DDQ around a scheduled encoder.

PRO-SCALE's supplement (Table T1) grows DINO's tokens, Lite-DETR updates the finest ones seldom. All
else is mmdet's: arguments, weights by name, losses, results.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from mmdet.models import DDQDETR, DINO, DeformableDETR
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.models.detectors.early_exit_detector import EarlyExitDetector
from mmproscale.models.encoders.scheduled_encoder import (
    Levels,
    ScheduledEncoder,
    build_encoder,
    levels_of,
)
from mmproscale.models.encoders.token_recalibration import build_recalibration, level_gates
from mmproscale.models.layers.token_layout import TokenLayout, concat
from mmproscale.registry import MODELS


class EncoderInputs(NamedTuple):
    """What :meth:`ScheduledEncoder.encode` takes, but for the exits."""

    tokens: Levels
    pos: Levels
    layout: TokenLayout
    gates: Levels


class ScheduledEncoderMixin(EarlyExitDetector):
    """Comes before a detector of mmdet's whose encoder is Deformable DETR's, and replaces that.

    Args:
        encoder: ``dict(schedule=..., layer_cfg=...)``; ``num_layers`` in the schedule's place is
            stock's encoder, every layer over every level.
        strides: Stride of each of the neck's maps, high resolution first; 8, 16, ... by default.
        recalibration: Config of TRC, ``dict(type='TRC')``, or None for none.
        args, arguments: mmdet's, and of early exits :class:`EarlyExitDetector`'s.

    Raises:
        InputError: A schedule that can't be or that names a level without a map; ``num_layers``
            beside ``schedule``; not one stride for each map, or not in ascending order; a decoder
            that reads another number of maps; TRC with a single level.
    """

    encoder: ScheduledEncoder

    def __init__(
        self,
        *args,
        encoder: dict,
        num_feature_levels: int = 4,
        strides: Sequence[int] | None = None,
        recalibration: dict | None = None,
        **arguments,
    ) -> None:
        self.strides = tuple(strides or (8 * 2**i for i in range(num_feature_levels)))
        if len(self.strides) != num_feature_levels:
            raise InputError(
                f"model.strides={self.strides} must have one stride for each of "
                f"num_feature_levels={num_feature_levels} maps"
            )
        if list(self.strides) != sorted(set(self.strides)) or self.strides[0] < 1:
            raise InputError(
                f"model.strides={self.strides} must ascend: the neck's maps come high resolution "
                "first"
            )
        self.recalibration_cfg = recalibration
        super().__init__(*args, encoder=encoder, num_feature_levels=num_feature_levels, **arguments)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """The neck's maps (B, C, H_i, W_i) of images (B, 3, H, W), high resolution first.

        Raises:
            InputError: Another number of maps than the model has levels.
        """
        maps = super().extract_feat(batch_inputs)
        if len(maps) != len(self.strides):
            raise InputError(
                f"model.neck gives {len(maps)} maps, but model.num_feature_levels="
                f"{len(self.strides)}: make neck.num_outs the same"
            )
        return maps

    def _init_layers(self) -> None:
        config = self.encoder
        read = levels_of(self.decoder["layer_cfg"], "cross_attn_cfg")
        if read != len(self.strides):
            raise InputError(
                f"model.decoder.layer_cfg.cross_attn_cfg.num_levels={read}, but "
                f"num_feature_levels={len(self.strides)}: the decoder reads every map"
            )
        built = build_encoder(config, "model.encoder", self.strides)
        # mmdet's method builds its own from this key: the smallest there is, and not for long.
        self.encoder = dict(num_layers=1, layer_cfg=_known_to_mmdet(config["layer_cfg"]))
        super()._init_layers()
        self.encoder = built
        self.recalibration = build_recalibration(
            self.recalibration_cfg, built.schedule, self.embed_dims
        )

    def forward_encoder(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor,
        exits: Sequence[int] | None = None,
    ) -> dict:
        """mmdet's, by the scheduled encoder: ``memory`` (B, N, C), its mask and map sizes.

        Args:
            feat: (B, N, C), the tokens of all maps, high resolution first.
            feat_mask: (B, N), True for padding, or None for none.
            feat_pos: (B, N, C).
            spatial_shapes: (L, 2), rows (H, W).
            level_start_index: Not needed: the sizes say it.
            valid_ratios: (B, L, 2), the part (w, h) of each map that is image.
            exits: Each image's; None where all go through all layers.
        """
        inputs = self.encoder_inputs(feat, feat_mask, feat_pos, spatial_shapes, valid_ratios)
        encode = self.encoder if exits is None else partial(self.encoder.encode_images, exits=exits)
        memory = concat(encode(*inputs), inputs.layout.strides)
        return dict(memory=memory, memory_mask=feat_mask, spatial_shapes=spatial_shapes)

    def encode_exits(
        self,
        exits: Sequence[int],
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor,
    ) -> Iterator[tuple[int, dict]]:
        """Yield (exit, what :meth:`forward_encoder` returns) where all images leave there.

        Arguments are that one's, but for ``exits``: some of the schedule's.
        """
        exits = self.encoder.schedule.check_exits(exits)
        inputs = self.encoder_inputs(feat, feat_mask, feat_pos, spatial_shapes, valid_ratios)
        for exit_, encoded in self.encoder.encode(*inputs, exits):
            memory = concat(encoded, inputs.layout.strides)
            yield (
                exit_,
                dict(memory=memory, memory_mask=feat_mask, spatial_shapes=spatial_shapes),
            )

    def encoder_inputs(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        spatial_shapes: Tensor,
        valid_ratios: Tensor,
    ) -> EncoderInputs:
        """Tokens, positions, layout and TRC's gates, of what mmdet's encoders take."""
        shapes = tuple((h, w) for h, w in spatial_shapes.tolist())
        # Without padding the ratios are ones, and nothing needs to know.
        ratios = None if feat_mask is None else valid_ratios
        layout = TokenLayout(self.strides, shapes, padding=feat_mask, valid_ratios=ratios)
        tokens = layout.split(feat, self.strides)
        pos = layout.split(feat_pos, self.strides)
        schedule = self.encoder.schedule
        finest = schedule.strides[-1]
        finest_map = layout.to_map(tokens[finest], finest)
        gates = level_gates(self.recalibration, finest_map, schedule, layout)
        return EncoderInputs(tokens, pos, layout, gates)


@MODELS.register_module()
class ScheduledDeformableDETR(ScheduledEncoderMixin, DeformableDETR):
    """mmdet's ``DeformableDETR`` with a scheduled encoder."""


@MODELS.register_module()
class ScheduledDINO(ScheduledEncoderMixin, DINO):
    """mmdet's ``DINO`` with a scheduled encoder."""


@MODELS.register_module()
class ScheduledDDQDETR(ScheduledEncoderMixin, DDQDETR):
    """mmdet's ``DDQDETR`` with a scheduled encoder."""


def _known_to_mmdet(layer_cfg: Mapping) -> dict:
    """A layer's config without what stock's attention does not know."""
    layer_cfg = copy.deepcopy(dict(layer_cfg))
    attention = dict(layer_cfg["self_attn_cfg"])
    attention.pop("backend", None)
    return layer_cfg | dict(self_attn_cfg=attention)
