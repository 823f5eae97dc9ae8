"""Points instead of pixels: where masks are compared (PointRend; Mask2Former section 3.3)."""

from __future__ import annotations

import torch
from mmcv.ops import point_sample
from torch import Tensor

# Candidates looked at together while the uncertain ones are chosen: bounds the memory.
CANDIDATES_PER_STEP = 2_000_000


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of maps (N, C, H, W) at points (N, P, 2), 0..1 as (x, y): (N, C, P)."""
    return point_sample(maps, points)


@torch.no_grad()
def uncertain_points(
    logits: Tensor, num_points: int, oversample_ratio: float, importance_ratio: float
) -> Tensor:
    """Points of each mask where it is least sure, and some anywhere.

    What is drawn is drawn once for each segment: the layers' masks of it choose from the same
    candidates.

    Args:
        logits: (N, layers, H, W), each layer's mask of N segments.
        num_points: P, how many points to return.
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
        candidates_of_layers = points[:, None].expand(-1, layers, -1, -1)
        chosen.append(candidates_of_layers.gather(2, order[..., None].expand(-1, -1, -1, 2)))
    anywhere = torch.rand(N, num_points - uncertain, 2, device=logits.device)
    return torch.cat([torch.cat(chosen), anywhere[:, None].expand(-1, layers, -1, -1)], dim=2)
