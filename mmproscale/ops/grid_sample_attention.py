"""Attention backend ``grid_sample``: the sampled sum in plain PyTorch, level by level."""

from __future__ import annotations

from collections.abc import Sequence

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
    Q, P = locations.shape[1], locations.shape[4]
    # Levels come first, so that the grid of each level is contiguous: otherwise grid_sample takes
    # nearly twice the time. BxQxHxLxPx2 -> Lx(BH)xQxPx2
    grids = (2 * locations - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
    with torch.no_grad():  # points outside have no gradient anyway
        # As in mmcv's compiled op, NaN and infinity are outside; grid_sample would return NaN.
        grids.nan_to_num_(OUTSIDE, OUTSIDE, -OUTSIDE)
    samples = []
    levels = value.split([h * w for h, w in shapes], dim=1)
    for (h, w), tokens, grid in zip(shapes, levels, grids.unbind(), strict=True):
        if h * w == 0:
            samples.append(value.new_zeros(B * heads, head_dim, Q, P))
            continue
        # BxNxHxD -> (BH)xDxhxw
        feature_map = tokens.permute(0, 2, 3, 1).reshape(B * heads, head_dim, h, w)
        samples.append(F.grid_sample(feature_map, grid, align_corners=False))
    sampled = torch.cat(samples, dim=-1)  # (BH)xDxQx(LP)
    weights = weights.transpose(1, 2).reshape(B * heads, 1, Q, len(shapes) * P)
    sums = (sampled * weights).sum(-1).view(B, heads * head_dim, Q)
    return sums.transpose(1, 2)
