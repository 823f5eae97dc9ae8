"""Points instead of pixels: where masks are compared (PointRend; Mask2Former section 3.3)."""

from __future__ import annotations

import torch
from mmcv.ops import point_sample
from torch import Tensor

# Points looked at together while the uncertain ones are chosen: bounds the memory.
POINTS_PER_STEP = 2_000_000


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of maps (N, C, H, W) at points (N, P, 2), 0..1 as (x, y): (N, C, P)."""
    return point_sample(maps, points)


@torch.no_grad()
def uncertain_points(
    logits: Tensor, num_points: int, oversample_ratio: float, importance_ratio: float
) -> Tensor:
    """Points of each mask where it is least sure, and some anywhere.

    Args:
        logits: (N, H, W).
        num_points: P, how many points to return.
        oversample_ratio: Candidates drawn for each point.
        importance_ratio: Share of the points that are the candidates nearest to a logit of zero.

    Returns:
        (N, P, 2) as (x, y), 0..1.
    """
    candidates = int(num_points * oversample_ratio)
    uncertain = int(num_points * importance_ratio)
    chosen = []
    for masks in logits.split(max(1, POINTS_PER_STEP // candidates)):
        points = torch.rand(len(masks), candidates, 2, device=logits.device)
        uncertainty = -sample(masks[:, None], points)[:, 0].abs()
        order = uncertainty.topk(uncertain, dim=1, sorted=False).indices
        chosen.append(points.take_along_dim(order[..., None], dim=1))
    anywhere = torch.rand(len(logits), num_points - uncertain, 2, device=logits.device)
    return torch.cat([torch.cat(chosen), anywhere], dim=1)
