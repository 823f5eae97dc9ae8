"""Encoder layer in which the tokens of some levels read the tokens of some levels.

This is Deformable DETR's layer as Mask2Former uses it: x = LN(x + MSDA(x + position, keys)), then
x = LN(x + FFN(x)). Weights, names and initialisation are as in mmdet, so mmdet's checkpoints load.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.layers.transformer.deformable_detr_layers import (
    DeformableDetrTransformerEncoderLayer,
)
from mmengine.model import ModuleList
from torch import Tensor

from mmproscale.ops import check_backend, multi_scale_deformable_attention
from mmproscale.ops.cpu_inference import feed_forward, linear, serves
from mmproscale.utils.constants import constant

TOKENS_PER_STEP = 2048


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's module with separate queries and keys, and map sizes as Python ints.

    Args:
        backend: Name of the backend of the sampled sum; None for the fastest here.
    """

    def __init__(self, *args, backend: str | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.backend = check_backend(backend)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        key_shapes: Sequence[tuple[int, int]],
        key_padding: Tensor | None = None,
    ) -> Tensor:
        """Attend from queries to keys (Deformable DETR, eq. 3), without the residual.

        Args:
            queries: (B, Q, C).
            keys: (B, N, C), the key levels' tokens one after the other.
            query_pos: (1 or B, Q, C), added to the queries but not to the keys.
            reference_points: (1 or B, Q, 1 or L, 2) as (x, y) in 0..1 of each key level's map.
            key_shapes: (H, W) of each key level.
            key_padding: (B, N), True for keys that are read as zero; None without padding.

        Returns:
            (B, Q, C).
        """
        B, Q, _ = queries.shape
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        value = linear(self.value_proj, keys)
        if key_padding is not None:
            value = value.masked_fill(key_padding[..., None], 0.0)
        value = value.unflatten(-1, (heads, -1))  # BxNxC -> BxNxHxD
        queries = queries + query_pos
        offsets = linear(self.sampling_offsets, queries)  # BxQx(HLP2)
        weights = linear(self.attention_weights, queries).view(B, Q, heads, levels * points)
        weights = weights.softmax(-1).view(B, Q, heads, levels, points)
        # Offsets are in pixels of each level, locations in 0..1. Both factors are expanded to the
        # offsets' shape: on a CPU a sum with a short last dimension is far slower.
        centres = reference_points[:, :, None, :, None]  # BxQx1xLx1x2
        centres = centres.expand(-1, -1, heads, levels, points, -1).flatten(2)  # BxQx(HLP2)
        pixels = constant(tuple((1 / w, 1 / h) for h, w in key_shapes), centres.dtype, centres)
        pixels = pixels[:, None].expand(heads, -1, points, -1).flatten()  # Lx2 -> HLP2
        locations = torch.addcmul(centres, offsets.to(centres.dtype), pixels)
        locations = locations.view(B, Q, heads, levels, points, 2)
        sampled = multi_scale_deformable_attention(
            value, key_shapes, locations, weights, self.backend
        )
        return linear(self.output_proj, sampled)


class DeformableLayer(DeformableDetrTransformerEncoderLayer):
    """mmdet's layer with :class:`DeformableAttention`.

    Args:
        own_channels: Inner channels of further feed-forwards, each with its norm, that replace the
            layer's for the tokens of some levels (Lite-DETR's small one for low-level tokens).
    """

    self_attn_cfg: dict

    def __init__(self, *args, own_channels: Sequence[int] = (), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.own_ffns = ModuleList(
            FFN(**(self.ffn_cfg | dict(feedforward_channels=channels))) for channels in own_channels
        )
        self.own_norms = ModuleList(
            build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in own_channels
        )

    def _init_layers(self) -> None:
        config = self.self_attn_cfg
        # mmdet's method builds mmcv's attention, which takes no backend and is replaced below.
        self.self_attn_cfg = {key: config[key] for key in config if key != "backend"}
        super()._init_layers()
        self.self_attn_cfg = config
        self.self_attn = DeformableAttention(**config)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        key_shapes: Sequence[tuple[int, int]],
        feedforwards: Sequence[tuple[int, int]],
        key_padding: Tensor | None = None,
    ) -> Tensor:
        """Return the updated queries (B, Q, C).

        Arguments are those of :meth:`DeformableAttention.forward`, and ``feedforwards``.

        Args:
            feedforwards: (index, number of tokens) for each of the queries' levels in order: index
                0 is the layer's feed-forward, k the k-th of ``own_channels``.
        """
        attended = self.self_attn(
            queries, keys, query_pos, reference_points, key_shapes, key_padding
        )
        x = self.norms[0](queries + self.self_attn.dropout(attended))
        groups = [
            (k, sum(n for _, n in run)) for k, run in groupby(feedforwards, key=itemgetter(0))
        ]
        parts = x.split([num_tokens for _, num_tokens in groups], dim=1)
        done = [self._feed_forward(part, k) for part, (k, _) in zip(parts, groups, strict=True)]
        return done[0] if len(done) == 1 else torch.cat(done, dim=1)

    def _feed_forward(self, x: Tensor, index: int) -> Tensor:
        ffn = self.own_ffns[index - 1] if index else self.ffn
        norm = self.own_norms[index - 1] if index else self.norms[1]
        if not serves(self, x):
            return norm(ffn(x))
        # In inference on a CPU the tokens are taken in parts, so that the wide inner layer stays in
        # the cache: a quarter faster, with little memory.
        parts = x.split(max(1, TOKENS_PER_STEP // len(x)), dim=1)
        return torch.cat([norm(feed_forward(ffn, part, part)) for part in parts], dim=1)
