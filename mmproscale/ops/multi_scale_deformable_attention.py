"""Multi-scale deformable attention's sampling (Deformable DETR, eq. 3): mmcv's op, or torch's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def multi_scale_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Weighted sum of bilinear samples, over levels and points, for each query and head.

    Args:
        value: (B, N, heads, head_dim), the levels' tokens one after the other.
        spatial_shapes: (H, W) of each level, L of them, with sum H * W = N.
        sampling_locations: (B, Q, heads, L, P, 2) as (x, y), 0..1 over each level's map; points
            outside read zeros.
        attention_weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, heads * head_dim).
    """
    shapes = _as_ints(spatial_shapes)
    if value.is_cuda and value.dtype in (torch.float32, torch.float16) and _mmcv_is_compiled():
        return _mmcv_op(value, shapes, sampling_locations, attention_weights)
    return _grid_sample(value, shapes, sampling_locations, attention_weights)


def _grid_sample(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    B, _, heads, head_dim = value.shape
    Q, P = locations.shape[1], locations.shape[4]
    grids = (2 * locations - 1).permute(0, 2, 1, 3, 4, 5).flatten(0, 1)  # BxQxH.. -> (BH)xQxLxPx2
    samples = []
    levels = value.split([h * w for h, w in shapes], dim=1)
    for level, ((h, w), tokens) in enumerate(zip(shapes, levels, strict=True)):
        # BxNxHxD -> (BH)xDxhxw
        feature_map = tokens.permute(0, 2, 3, 1).reshape(B * heads, head_dim, h, w)
        samples.append(F.grid_sample(feature_map, grids[:, :, level], align_corners=False))
    sampled = torch.cat(samples, dim=-1)  # (BH)xDxQx(LP)
    weights = weights.transpose(1, 2).reshape(B * heads, 1, Q, len(shapes) * P)
    return (sampled * weights).sum(-1).view(B, heads * head_dim, Q).transpose(1, 2)


def _mmcv_op(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    sizes = torch.tensor(shapes, device=value.device)
    starts = torch.cat([sizes.new_zeros(1), sizes.prod(1).cumsum(0)[:-1]])
    return MultiScaleDeformableAttnFunction.apply(
        value.contiguous(), sizes, starts, locations.contiguous(), weights.contiguous(), 64
    )


@cache
def _mmcv_is_compiled() -> bool:
    """Whether ``mmcv._ext`` is the compiled extension and not compat's stand-in."""
    import mmcv._ext

    return (mmcv._ext.__file__ or "").endswith((".so", ".pyd"))


def _as_ints(shapes: Sequence[tuple[int, int]] | Tensor) -> list[tuple[int, int]]:
    rows = shapes.tolist() if isinstance(shapes, Tensor) else shapes
    return [(int(h), int(w)) for h, w in rows]
