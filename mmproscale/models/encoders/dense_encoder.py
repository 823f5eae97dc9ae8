"""DETR's encoder, plain attention over one map, which images may leave early (ECO-M2F, Table 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from mmdet.models.layers import DetrTransformerEncoder
from torch import Tensor

from mmproscale.models.encoders.schedule import Schedule, Stage

STRIDE = 32
"""By which the map is named in the schedule, whatever a dilated backbone makes of it."""


class DenseEncoder(DetrTransformerEncoder):
    """mmdet's encoder with exits: same arguments, same weights by name.

    Attributes:
        schedule: Its layers as a schedule, which knows the exits.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.schedule = Schedule((Stage(STRIDE, STRIDE, self.num_layers),), name="DETR")

    def encode(
        self, query: Tensor, query_pos: Tensor, padding: Tensor | None, exits: Sequence[int]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield (exit, tokens) at each exit, ascending; layers that exits share run once.

        Args:
            query: Tokens (B, N, C).
            query_pos: Their positions (B, N, C).
            padding: (B, N) bool, the tokens that nothing attends to; None for none.
            exits: Numbers of layers after which to yield.
        """
        start = 0
        for stop in exits:
            for layer in self.layers[start:stop]:
                query = layer(query, query_pos, padding)
            yield stop, query
            start = stop

    def encode_images(
        self, query: Tensor, query_pos: Tensor, padding: Tensor | None, exits: Sequence[int]
    ) -> Tensor:
        """Each image's tokens after its own exit, (B, N, C).

        Arguments are those of :meth:`encode`, but for ``exits``: B of them, one for each image.
        """
        if len(set(exits)) == 1:
            return next(self.encode(query, query_pos, padding, exits[:1]))[1]
        # In this order, those that stay are always the first.
        order = sorted(range(len(exits)), key=exits.__getitem__, reverse=True)
        query, query_pos = query[order], query_pos[order]
        padding = None if padding is None else padding[order]
        for index, layer in enumerate(self.layers[: max(exits)]):
            n = sum(exit_ > index for exit_ in exits)
            masked = None if padding is None else padding[:n]
            query = torch.cat([layer(query[:n], query_pos[:n], masked), query[n:]])
        return query[sorted(range(len(order)), key=order.__getitem__)]

    def layer_costs(self, shapes: Mapping[int, tuple[int, int]]) -> tuple[int, ...]:
        """Multiply-accumulates of each layer for one image, as fvcore counts the traced layer.

        Four projections, queries by keys and weights by values, the feed-forward, and two norms at
        5 per element.

        Args:
            shapes: Stride -> (H, W); the coarsest counts.
        """
        height, width = shapes[max(shapes)]
        tokens, channels = height * width, self.embed_dims
        inner = self.layers[0].ffn.feedforward_channels
        attention = 4 * tokens * channels**2 + 2 * tokens**2 * channels
        layer = attention + 2 * tokens * channels * inner + 2 * 5 * tokens * channels
        return (layer,) * self.num_layers
