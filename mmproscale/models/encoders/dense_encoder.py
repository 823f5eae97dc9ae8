"""DETR's encoder: plain attention over one map, with early exits (ECO-M2F, Table 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from mmdet.models.layers import DetrTransformerEncoder
from torch import Tensor

from mmproscale.models.encoders.schedule import Schedule, Stage

MAP_STRIDE = 32
"""Name of the map in the schedule, also where a dilated backbone gives it another stride."""


class DenseEncoder(DetrTransformerEncoder):
    """mmdet's encoder with exits; arguments and names of weights are the same.

    Attributes:
        schedule: Its layers as a schedule, which has the exits.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        levels = (MAP_STRIDE,)
        self.schedule = Schedule((Stage(levels, levels, self.num_layers),), name="DETR")

    def encode(
        self, query: Tensor, query_pos: Tensor, padding: Tensor | None, exits: Sequence[int]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield (exit, tokens) at each exit, ascending; layers that exits share run once.

        Args:
            query: Tokens (B, N, C).
            query_pos: Their positions (B, N, C).
            padding: (B, N) bool, True for tokens that are not attended to; None without padding.
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
        """Return each image's tokens after its own exit, (B, N, C).

        Arguments are those of :meth:`encode`, except ``exits``: one for each of the B images.
        """
        if len(set(exits)) == 1:
            return next(self.encode(query, query_pos, padding, exits[:1]))[1]
        # In this order, the images that stay are always the first.
        order = sorted(range(len(exits)), key=exits.__getitem__, reverse=True)
        query, query_pos = query[order], query_pos[order]
        padding = None if padding is None else padding[order]
        for index, layer in enumerate(self.layers[: max(exits)]):
            n = sum(exit_ > index for exit_ in exits)
            masked = None if padding is None else padding[:n]
            query = torch.cat([layer(query[:n], query_pos[:n], masked), query[n:]])
        return query[sorted(range(len(order)), key=order.__getitem__)]

    def layer_costs(self, shapes: Mapping[int, tuple[int, int]]) -> tuple[int, ...]:
        """Return the multiply-accumulates of each layer for one image, as fvcore counts them.

        They are those of four projections, queries times keys, weights times values, the
        feed-forward, and two norms with 5 for each element.

        Args:
            shapes: Stride -> (H, W); only the coarsest map is encoded.
        """
        height, width = shapes[max(shapes)]
        tokens, channels = height * width, self.embed_dims
        inner = self.layers[0].ffn.feedforward_channels
        attention = 4 * tokens * channels**2 + 2 * tokens**2 * channels
        layer = attention + 2 * tokens * channels * inner + 2 * 5 * tokens * channels
        return (layer,) * self.num_layers
