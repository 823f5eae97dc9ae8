"""The encoder loop: runs any schedule over the tokens of a layout."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.pixel_decoders.deformable_layer import DeformableAttention, DeformableLayer
from mmproscale.pixel_decoders.schedule import Schedule, build_schedule
from mmproscale.pixel_decoders.token_layout import TokenLayout, concat

Levels = dict[int, Tensor]


class ScheduledEncoder(BaseModule):
    """Deformable attention layers as a schedule orders them.

    Args:
        schedule: A :class:`Schedule` or its config.
        layer_cfg: Config of one layer, as mmdet's ``DeformableDetrTransformerEncoderLayer`` takes
            it; ``self_attn_cfg.num_levels`` is the schedule's number of levels (each layer then
            gets as many as it reads).

    Raises:
        InputError: A schedule that can't be, or a ``num_levels`` that is not the schedule's.
    """

    def __init__(
        self, schedule: Mapping | Schedule, layer_cfg: dict, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.schedule = build_schedule(schedule)
        num_levels = layer_cfg["self_attn_cfg"]["num_levels"]
        if num_levels != len(self.schedule.strides):
            raise InputError(
                f"encoder.layer_cfg.self_attn_cfg.num_levels={num_levels}, but schedule "
                f"{self.schedule} has {len(self.schedule.strides)} levels"
            )
        self.layers = ModuleList(
            DeformableLayer(
                **_with_num_levels(layer_cfg, len(stage.keys)),
                own_channels=[feedforward.channels for feedforward in stage.feedforwards],
            )
            for stage in self.schedule.layers
        )
        self.embed_dims = self.layers[0].embed_dims

    @property
    def widths(self) -> dict[str, int]:
        """What :meth:`Schedule.cost` needs to know of the layers."""
        layer = self.layers[0]
        return dict(
            embed_dims=self.embed_dims,
            num_heads=layer.self_attn.num_heads,
            num_points=layer.self_attn.num_points,
            feedforward_channels=layer.ffn.feedforward_channels,
        )

    def init_weights(self) -> None:
        """Mask2Former's: Xavier for every matrix, then mmcv's own for the attention."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.init_weights()

    def forward(
        self, tokens: Levels, pos: Levels, layout: TokenLayout, gates: Levels | None = None
    ) -> Levels:
        """All layers. Arguments and result as :meth:`encode`, for the last exit alone."""
        return next(self.encode(tokens, pos, layout, gates, self.schedule.exits[-1:]))[1]

    def encode(
        self,
        tokens: Levels,
        pos: Levels,
        layout: TokenLayout,
        gates: Levels | None,
        exits: Sequence[int],
    ) -> Iterator[tuple[int, Levels]]:
        """Yield (exit, tokens) at each of ``exits``, the tail included; shared layers run once.

        Args:
            tokens: stride -> (B, N, C).
            pos: stride -> (1, N, C), added to queries.
            layout: Order and map sizes of the levels.
            gates: stride -> (B, N, 1); multiplies a level's tokens where the level first becomes a
                query (PRO-SCALE eq. 4).
            exits: Numbers of layers after which to yield, ascending.
        """
        gates = gates or {}
        start = 0
        for stop in exits:
            tokens, gates = self._run(range(start, stop), tokens, pos, layout, gates)
            yield stop, self._run(self._tail, tokens, pos, layout, gates)[0]
            start = stop

    def encode_images(
        self,
        tokens: Levels,
        pos: Levels,
        layout: TokenLayout,
        gates: Levels | None,
        exits: Sequence[int],
    ) -> Levels:
        """Each image's tokens after its own exit, the tail included.

        A layer runs once, for all images that reach it. Arguments are those of :meth:`encode`, but
        for ``exits``: B of them, one for each image.
        """
        if len(set(exits)) == 1:
            return next(self.encode(tokens, pos, layout, gates, exits[:1]))[1]
        order = sorted(range(len(exits)), key=exits.__getitem__)
        # In this order, those that leave are always the first.
        tokens, gates = _pick(tokens, order), _pick(gates or {}, order)
        left, start = [], 0
        for stop, leaving in groupby(exits[image] for image in order):
            tokens, gates = self._run(range(start, stop), tokens, pos, layout, gates)
            n = len(list(leaving))
            first, first_gates = _pick(tokens, slice(n)), _pick(gates, slice(n))
            left.append(self._run(self._tail, first, pos, layout, first_gates)[0])
            tokens, gates = _pick(tokens, slice(n, None)), _pick(gates, slice(n, None))
            start = stop
        back = sorted(range(len(order)), key=order.__getitem__)
        return {s: torch.cat([levels[s] for levels in left])[back] for s in tokens}

    @property
    def _tail(self) -> range:
        """Indices of the layers that always run."""
        return range(self.schedule.num_layers - self.schedule.tail, self.schedule.num_layers)

    def _run(
        self, indices: range, tokens: Levels, pos: Levels, layout: TokenLayout, gates: Levels
    ) -> tuple[Levels, Levels]:
        """Some layers in a row; the new tokens, and the gates of levels that have yet to enter."""
        tokens, gates = dict(tokens), dict(gates)
        for stage, group in groupby(indices, key=self.schedule.layers.__getitem__):
            queries, keys = layout.order(stage.queries), layout.order(stage.keys)
            for stride in queries:
                if stride in gates:
                    tokens[stride] = tokens[stride] * gates.pop(stride)
            key_shapes = layout.shapes_of(keys)
            query_pos = concat(pos, queries)
            x = concat(tokens, queries)
            reference_points = layout.reference_points(queries, like=x)
            feedforwards = [(stage.feedforward_of(s), layout.num_tokens(s)) for s in queries]
            for index in group:
                # One stage's tokens stay in one piece: they are split where the levels change.
                read = x if keys == queries else concat(tokens | layout.split(x, queries), keys)
                x = self.layers[index](
                    x, read, query_pos, reference_points, key_shapes, feedforwards
                )
            tokens |= layout.split(x, queries)
        return tokens, gates


def _pick(levels: Levels, images: list[int] | slice) -> Levels:
    """Some images of each level."""
    return {stride: tensor[images] for stride, tensor in levels.items()}


def _with_num_levels(layer_cfg: dict, num_levels: int) -> dict:
    layer_cfg = copy.deepcopy(layer_cfg)
    layer_cfg["self_attn_cfg"]["num_levels"] = num_levels
    return layer_cfg
