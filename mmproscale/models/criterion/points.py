"""Points at which masks are compared instead of pixels (PointRend; Mask2Former, section 3.3)."""

from __future__ import annotations

import torch
from mmcv.ops import point_sample
from torch import Tensor

# Candidates among which the uncertain ones are chosen in one step: bounds the memory.
CANDIDATES_PER_STEP = 2_000_000


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Sample maps (N, C, H, W) bilinearly at points (N, P, 2), (x, y) in 0..1: (N, C, P)."""
    return point_sample(maps, points)


@torch.no_grad()
def uncertain_points(
    logits: Tensor, num_points: int, oversample_ratio: float, importance_ratio: float
) -> Tensor:
    """Draw points for each mask: most where it is least certain, the others anywhere.

    Candidates are drawn once for each segment: its masks of all layers choose among the same.

    Args:
        logits: (N, layers, H, W), each layer's mask of N segments.
        num_points: Number of points P.
        oversample_ratio: Candidates drawn for each point.
        importance_ratio: Share of the points that are the candidates nearest to a logit of zero.

    Returns:
        (N, layers, P, 2) as (x, y), 0..1.
    """
    N, layers = logits.shape[:2]
    candidates = int(num_points * oversample_ratio)
    uncertain = int(num_points * importance_ratio)
    chosen = []
    for masks in logits.split(max(1, CANDIDATES_PER_STEP // (layers * candidates))):
        points = torch.rand(len(masks), candidates, 2, device=logits.device)
        uncertainty = sample(masks, points).abs_().neg_()
        order = uncertainty.topk(uncertain, dim=2, sorted=False).indices
        layer_points = points[:, None].expand(-1, layers, -1, -1)
        chosen.append(layer_points.gather(2, order[..., None].expand(-1, -1, -1, 2)))
    anywhere = torch.rand(N, num_points - uncertain, 2, device=logits.device)
    return torch.cat([torch.cat(chosen), anywhere[:, None].expand(-1, layers, -1, -1)], dim=2)
