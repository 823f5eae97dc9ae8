"""mmdet's Deformable DETR, DINO and DDQ with a scheduled encoder.

PRO-SCALE's supplement (Table T1) grows DINO's tokens; Lite-DETR updates the finest tokens rarely.
Arguments, names of weights, losses and results are as in mmdet.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from mmdet.models import DDQDETR, DINO, DeformableDETR
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.models.criterion.crowded_assigner import CrowdedAssigner
from mmproscale.models.detectors.early_exit_detector import EarlyExitDetector, Inputs
from mmproscale.models.encoders.scheduled_encoder import (
    Levels,
    ScheduledEncoder,
    build_encoder,
    num_levels_of,
)
from mmproscale.models.encoders.token_recalibration import build_recalibration, level_gates
from mmproscale.models.layers.token_layout import TokenLayout, concat
from mmproscale.registry import MODELS


class EncoderInputs(NamedTuple):
    """Arguments of :meth:`ScheduledEncoder.encode`, except the exits."""

    tokens: Levels
    pos: Levels
    layout: TokenLayout
    gates: Levels


class ScheduledEncoderMixin(EarlyExitDetector):
    """Mixin that replaces the encoder of a detector of mmdet derived from Deformable DETR.

    Args:
        encoder: ``dict(schedule=..., layer_cfg=...)``; ``num_layers`` instead of ``schedule`` gives
            mmdet's encoder, in which every layer updates and reads every level.
        strides: Stride of each of the neck's maps, high resolution first; by default 8, 16, 32 and
            so on.
        recalibration: Config of TRC, ``dict(type='TRC')``; None without TRC.
        args, arguments: Arguments of mmdet's detector and of :class:`EarlyExitDetector`.

    Raises:
        InputError: An invalid schedule, or one with a level that has no map; both ``num_layers``
            and ``schedule``; not one stride for each map, or not in ascending order; a decoder
            that reads another number of maps; TRC with a single level.
    """

    encoder: ScheduledEncoder
    num_queries: int

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
        """Return the neck's maps (B, C, H_i, W_i), high resolution first, of images (B, 3, H, W).

        Raises:
            InputError: The number of maps is not the model's number of levels.
        """
        maps = super().extract_feat(batch_inputs)
        if len(maps) != len(self.strides):
            raise InputError(
                f"model.neck gives {len(maps)} maps, but model.num_feature_levels="
                f"{len(self.strides)}: set neck.num_outs to the same number"
            )
        return maps

    def _init_layers(self) -> None:
        config: Any = self.encoder
        read = num_levels_of(self.decoder["layer_cfg"], "cross_attn_cfg")
        if read != len(self.strides):
            raise InputError(
                f"model.decoder.layer_cfg.cross_attn_cfg.num_levels={read}, but "
                f"num_feature_levels={len(self.strides)}: the decoder reads every map"
            )
        built = build_encoder(config, "model.encoder", self.strides)
        # mmdet's method builds an encoder from this config: the smallest one, which is replaced.
        smallest: Any = dict(num_layers=1, layer_cfg=_stock_layer_cfg(config["layer_cfg"]))
        self.encoder = smallest
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
        """Return ``memory`` (B, N, C), its mask and map sizes, as mmdet's method does.

        Args:
            feat: (B, N, C), the tokens of all maps, high resolution first.
            feat_mask: (B, N), True for padding; None without padding.
            feat_pos: (B, N, C).
            spatial_shapes: (L, 2), rows (H, W).
            level_start_index: Not used; it follows from ``spatial_shapes``.
            valid_ratios: (B, L, 2), the part (w, h) of each map that is image.
            exits: Exit of each image; None for all layers.
        """
        inputs = self.encoder_inputs(feat, feat_mask, feat_pos, spatial_shapes, valid_ratios)
        encode = self.encoder if exits is None else partial(self.encoder.encode_images, exits=exits)
        memory = concat(encode(*inputs), inputs.layout.strides)
        return dict(memory=memory, memory_mask=feat_mask, spatial_shapes=spatial_shapes)

    def pre_decoder(self, memory: Tensor, *args, **kwargs) -> tuple[Inputs, Inputs]:
        """Return mmdet's inputs of decoder and head; small images have fewer tokens than queries.

        Args:
            memory: (B, N, C), of which the queries are chosen.
            args: Other arguments of mmdet's method.
            kwargs: Other arguments of mmdet's method.
        """
        queries, tokens = self.num_queries, memory.shape[1]
        if tokens >= queries or not self.as_two_stage:
            return super().pre_decoder(memory, *args, **kwargs)
        self.num_queries = tokens
        try:
            inputs, head_inputs = super().pre_decoder(memory, *args, **kwargs)
        finally:
            self.num_queries = queries
        count, mask = inputs["reference_points"].shape[1], inputs.get("dn_mask")
        inputs["query"] = inputs["query"][:, :count]
        if mask is not None:
            inputs["dn_mask"] = mask[:count, :count]
        return inputs, head_inputs

    def encode_exits(self, exits: Sequence[int], **inputs) -> Iterator[tuple[int, Inputs]]:
        """Yield (exit, output of :meth:`forward_encoder`) at each exit of all images, ascending.

        Args:
            exits: Some of the schedule's exits.
            inputs: Arguments of :meth:`forward_encoder`.
        """
        exits = self.encoder.schedule.check_exits(exits)
        inputs.pop("level_start_index")
        taken = self.encoder_inputs(**inputs)
        output = dict(memory_mask=inputs["feat_mask"], spatial_shapes=inputs["spatial_shapes"])
        for exit_, encoded in self.encoder.encode(*taken, exits):
            yield exit_, dict(memory=concat(encoded, taken.layout.strides), **output)

    def encoder_inputs(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        spatial_shapes: Tensor,
        valid_ratios: Tensor,
    ) -> EncoderInputs:
        """Return tokens, positions, layout and TRC's gates from the inputs of mmdet's encoders."""
        shapes = tuple((h, w) for h, w in spatial_shapes.tolist())
        # Without padding all ratios are 1.
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
    """mmdet's ``DDQDETR`` with a scheduled encoder; it takes more objects than queries."""

    def __init__(self, *args, **arguments) -> None:
        super().__init__(*args, **arguments)
        dense = self.bbox_head.aux_loss_for_dense
        dense.assigner = CrowdedAssigner(topk=dense.assigner.topk)


def _stock_layer_cfg(layer_cfg: Mapping) -> dict:
    """Return a layer's config without ``backend``, which mmcv's attention does not take."""
    config = copy.deepcopy(dict(layer_cfg))
    attention = dict(config["self_attn_cfg"])
    attention.pop("backend", None)
    return config | dict(self_attn_cfg=attention)
