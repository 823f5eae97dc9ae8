"""Encoder that runs any schedule over the tokens of a layout."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.models.encoders.deformable_layer import DeformableAttention, DeformableLayer
from mmproscale.models.encoders.schedule import Schedule, build_schedule
from mmproscale.models.layers.token_layout import TokenLayout, concat

Levels = dict[int, Tensor]


class ScheduledEncoder(BaseModule):
    """Layers of deformable attention in the order of a schedule.

    Args:
        schedule: A :class:`Schedule` or its config.
        layer_cfg: Config of one layer, as mmdet's ``DeformableDetrTransformerEncoderLayer`` takes
            it. ``self_attn_cfg.num_levels``, by default mmcv's, is the schedule's number of levels;
            each layer gets the number that it reads.

    Raises:
        InputError: An invalid schedule, or a ``num_levels`` that is not the schedule's.
    """

    def __init__(
        self, schedule: Mapping | Schedule, layer_cfg: dict, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.schedule = build_schedule(schedule)
        num_levels = num_levels_of(layer_cfg)
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
        # torch.compile can group layers by integers, not by stages.
        stages = self.schedule.layers
        self._kinds = [stages.index(stage) for stage in stages]

    @property
    def widths(self) -> dict[str, int]:
        """Arguments of :meth:`Schedule.cost` that the layers decide."""
        layer = self.layers[0]
        return dict(
            embed_dims=self.embed_dims,
            num_heads=layer.self_attn.num_heads,
            num_points=layer.self_attn.num_points,
            feedforward_channels=layer.ffn.feedforward_channels,
        )

    def layer_costs(self, shapes: Mapping[int, tuple[int, int]]) -> tuple[int, ...]:
        """Return the multiply-accumulates of each layer for one image, for (H, W) by stride."""
        return self.schedule.cost(shapes, **self.widths)

    def init_weights(self) -> None:
        """Initialise as Mask2Former does: Xavier for every matrix, mmcv's for the attention."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.init_weights()

    def forward(
        self, tokens: Levels, pos: Levels, layout: TokenLayout, gates: Levels | None = None
    ) -> Levels:
        """Run all layers; arguments and result as those of :meth:`encode` at the last exit."""
        return next(self.encode(tokens, pos, layout, gates, self.schedule.exits[-1:]))[1]

    def encode(
        self,
        tokens: Levels,
        pos: Levels,
        layout: TokenLayout,
        gates: Levels | None,
        exits: Sequence[int],
    ) -> Iterator[tuple[int, Levels]]:
        """Yield (exit, tokens after the tail) at each of ``exits``; shared layers run once.

        Args:
            tokens: stride -> (B, N, C).
            pos: stride -> (1 or B, N, C), added to queries.
            layout: Order, map sizes and padding of the levels.
            gates: stride -> (B, N, 1); multiplies a level's tokens before the first layer that
                updates the level (PRO-SCALE eq. 4).
            exits: Numbers of layers after which to yield, ascending.
        """
        gates = gates or {}
        start = 0
        for stop in exits:
            tokens, gates = self._run(range(start, stop), tokens, pos, layout, gates)
            yield stop, self._run_tail(layout, tokens, pos, gates)
            start = stop

    def encode_images(
        self,
        tokens: Levels,
        pos: Levels,
        layout: TokenLayout,
        gates: Levels | None,
        exits: Sequence[int],
    ) -> Levels:
        """Return each image's tokens after its own exit and the tail.

        A layer runs once, for all images that reach it. Arguments are those of :meth:`encode`,
        except ``exits``: one for each of the B images.
        """
        if len(set(exits)) == 1:
            return next(self.encode(tokens, pos, layout, gates, exits[:1]))[1]
        order = sorted(range(len(exits)), key=exits.__getitem__)
        # In this order, the images that leave are always the first.
        tokens, pos, gates = (_pick(levels, order) for levels in (tokens, pos, gates or {}))
        layout = layout.select_images(order)
        left, start = [], 0
        for stop, leaving in groupby(exits[image] for image in order):
            tokens, gates = self._run(range(start, stop), tokens, pos, layout, gates)
            n = len(list(leaving))
            first = [_pick(levels, slice(n)) for levels in (tokens, pos, gates)]
            left.append(self._run_tail(layout.select_images(slice(n)), *first))
            tokens, pos, gates = (_pick(levels, slice(n, None)) for levels in (tokens, pos, gates))
            layout, start = layout.select_images(slice(n, None)), stop
        back = sorted(range(len(order)), key=order.__getitem__)
        return {s: torch.cat([levels[s] for levels in left])[back] for s in tokens}

    def _run_tail(self, layout: TokenLayout, tokens: Levels, pos: Levels, gates: Levels) -> Levels:
        """Return the tokens after the layers that always run."""
        last = self.schedule.num_layers
        return self._run(range(last - self.schedule.tail, last), tokens, pos, layout, gates)[0]

    def _run(
        self, indices: range, tokens: Levels, pos: Levels, layout: TokenLayout, gates: Levels
    ) -> tuple[Levels, Levels]:
        """Run some layers; return the tokens, and the gates of levels not yet updated."""
        tokens, gates = dict(tokens), dict(gates)
        for kind, group in groupby(indices, key=self._kinds.__getitem__):
            stage = self.schedule.layers[kind]
            queries, keys = layout.order(stage.queries), layout.order(stage.keys)
            for stride in queries:
                if stride in gates:
                    tokens[stride] = tokens[stride] * gates.pop(stride)
            key_shapes, key_padding = layout.shapes_of(keys), layout.padding_of(keys)
            query_pos = concat(pos, queries)
            x = concat(tokens, queries)
            reference_points = layout.reference_points(queries, keys, like=x)
            feedforwards = [(stage.feedforward_index(s), layout.num_tokens(s)) for s in queries]
            for index in group:
                # Within a stage the tokens stay concatenated; they are split between stages.
                read = x if keys == queries else concat(tokens | layout.split(x, queries), keys)
                x = self.layers[index](
                    x, read, query_pos, reference_points, key_shapes, feedforwards, key_padding
                )
            tokens |= layout.split(x, queries)
        return tokens, gates


def build_encoder(config: Mapping | None, key: str, strides: Sequence[int]) -> ScheduledEncoder:
    """Build the encoder of ``dict(schedule=..., layer_cfg=...)`` or of stock's ``num_layers``.

    Args:
        config: The encoder's config.
        key: Its key in the model's config, for messages.
        strides: Strides of the maps; with ``num_layers`` the coarsest of them are encoded.

    Raises:
        InputError: Both ``schedule`` and ``num_layers``, or neither; an unknown key; a level of
            the schedule that has no map.
    """
    config = dict(config or {})
    num_layers, schedule = config.pop("num_layers", None), config.pop("schedule", None)
    if (num_layers is None) == (schedule is None):
        raise InputError(
            f"{key} has num_layers={num_layers} and schedule={schedule}: give one of them "
            "(set num_layers=None where a base config has it)"
        )
    layer_cfg = config.pop("layer_cfg", None)
    if layer_cfg is None or set(config) - {"init_cfg"}:
        raise InputError(
            f"{key} takes schedule or num_layers, layer_cfg and init_cfg; it has "
            f"{sorted(config)} and {'no' if layer_cfg is None else 'a'} layer_cfg"
        )
    if schedule is None:
        levels = sorted(strides, reverse=True)[: num_levels_of(layer_cfg)]
        schedule = dict(type="m2f", layers=num_layers, levels=levels)
    encoder = ScheduledEncoder(schedule, layer_cfg, config.get("init_cfg"))
    encoder.schedule.check_maps(strides)
    return encoder


def num_levels_of(layer_cfg: Mapping, attention: str = "self_attn_cfg") -> int:
    """Return the number of levels of a layer's attention, by default mmcv's 4."""
    return layer_cfg[attention].get("num_levels", 4)


def _pick(levels: Levels, images: list[int] | slice) -> Levels:
    """Select images of each level; tensors (1, N, C), which all images share, stay."""
    return {s: tensor if len(tensor) == 1 else tensor[images] for s, tensor in levels.items()}


def _with_num_levels(layer_cfg: dict, num_levels: int) -> dict:
    layer_cfg = copy.deepcopy(layer_cfg)
    layer_cfg["self_attn_cfg"]["num_levels"] = num_levels
    return layer_cfg
