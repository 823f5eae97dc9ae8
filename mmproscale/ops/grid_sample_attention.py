"""Attention backend ``grid_sample``: the sampled sum in plain PyTorch, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

# Location in grid_sample's -1..1 at which no bilinear corner is on a map, even on a small one.
OUTSIDE = 3.0


def grid_sample_attention(
    value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Return the sampled sums (B, Q, heads * head_dim); all tensors have one dtype."""
    B, _, heads, head_dim = value.shape
    Q = locations.shape[1]
    # Levels come first, so that the grid of each level is contiguous, and queries last, so that
    # points are summed in rows of queries. BxQxHxLxPx2 -> Lx(BH)xPxQx2
    grids = (2 * locations - 1).permute(3, 0, 2, 4, 1, 5).flatten(1, 2)
    shares = weights.permute(3, 0, 2, 4, 1).flatten(1, 2).unsqueeze(2)  # Lx(BH)x1xPxQ
    with torch.no_grad():  # points outside have no gradient anyway
        # As in mmcv's compiled op, NaN and infinity are outside; grid_sample would return NaN.
        grids.nan_to_num_(OUTSIDE, OUTSIDE, -OUTSIDE)
    parts = []
    levels = value.split([h * w for h, w in shapes], dim=1)
    for (h, w), tokens, grid, share in zip(
        shapes, levels, grids.unbind(), shares.unbind(), strict=True
    ):
        if h * w == 0:
            continue
        # BxNxHxD -> (BH)xDxhxw
        feature_map = tokens.permute(0, 2, 3, 1).reshape(B * heads, head_dim, h, w)
        sampled = F.grid_sample(feature_map, grid, align_corners=False)  # (BH)xDxPxQ
        parts.append((sampled * share).sum(2))
    sums = reduce(torch.add, parts) if parts else value.new_zeros(B * heads, head_dim, Q)
    return sums.view(B, heads * head_dim, Q).transpose(1, 2)
