"""The sampled sum in plain PyTorch: one ``grid_sample`` for each level."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Where no bilinear corner is on a map, however small, in grid_sample's -1..1.
OUTSIDE = 3.0


def grid_sample_attention(
    value: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Sampled sums (B, Q, heads * head_dim); arguments as the operator's."""
    B, _, heads, head_dim = value.shape
    Q, P = locations.shape[1], locations.shape[4]
    given, dtype = value.dtype, torch.promote_types(value.dtype, locations.dtype)
    value, locations, weights = value.to(dtype), locations.to(dtype), weights.to(dtype)
    # Levels come first, so that each one's grid is in one piece: in strips of P points grid_sample
    # takes nearly twice the time. BxQxHxLxPx2 -> Lx(BH)xQxPx2
    grids = (2 * locations - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
    with torch.no_grad():  # what is outside has no gradient anyway
        # grid_sample would hand on a NaN: as in mmcv's compiled op it is outside, like infinity.
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
    return sums.transpose(1, 2).to(given)
