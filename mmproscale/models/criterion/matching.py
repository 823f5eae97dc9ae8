"""Bipartite matching of queries and segments (DETR, eq. 1), of all decoder layers at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.task_modules.assigners import CrossEntropyLossCost
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mmproscale.models.criterion.points import sample
from mmproscale.models.criterion.targets import QueryPredictions, Targets

# Most logits of sampled points in memory at the same time.
LOGITS_PER_STEP = 1_000_000

MatchCost = Callable[[InstanceData, InstanceData], Tensor]


@torch.no_grad()
def match(
    predictions: QueryPredictions,
    targets: Sequence[Targets],
    costs: Sequence[MatchCost],
    num_points: int,
) -> list[tuple[Tensor, Tensor]]:
    """Return the cheapest one-to-one matching of queries and segments, by image and layer.

    Args:
        predictions: Predictions for B images.
        targets: Ground truth of each image, G segments.
        costs: mmdet's match costs, summed.
        num_points: Points at which masks are compared, the same for all masks of an image.

    Returns:
        For each image the matched queries and their segments, both (layers + 1, min(Q, G)) on the
        predictions' device.

    Raises:
        FloatingPointError: A cost is not finite, for example because training has diverged.
    """
    per_image = [
        _image_costs(predictions, image, image_targets, costs, num_points)
        for image, image_targets in enumerate(targets)
    ]
    # One transfer for all images and layers.
    on_cpu = torch.cat([cost.flatten() for cost in per_image]).cpu()
    if not on_cpu.isfinite().all():
        raise FloatingPointError(_fault(predictions, targets, costs, num_points))
    parts = on_cpu.split([cost.numel() for cost in per_image])
    pairs = [_assign(part.view(cost.shape)) for part, cost in zip(parts, per_image, strict=True)]
    on_device = torch.cat(pairs, dim=2).to(predictions.class_logits.device)
    matched = on_device.split([pair.shape[2] for pair in pairs], dim=2)
    return [(queries, segments) for queries, segments in matched]


def _fault(
    predictions: QueryPredictions,
    targets: Sequence[Targets],
    costs: Sequence[MatchCost],
    num_points: int,
) -> str:
    """Name the first cost that is not finite."""
    for cost in costs:
        for image, truth in enumerate(targets):
            if not _image_costs(predictions, image, truth, [cost], num_points).isfinite().all():
                return f"the matching cost {type(cost).__name__} is not finite"
    return "a matching cost is not finite"


def _image_costs(
    predictions: QueryPredictions,
    image: int,
    targets: Targets,
    costs: Sequence[MatchCost],
    num_points: int,
) -> Tensor:
    """Return the cost of each pair, (layers + 1, Q, G)."""
    class_logits = predictions.class_logits[:, image]
    embeddings = predictions.mask_embeddings[:, image]
    features = predictions.mask_features[image]
    if not len(targets.labels):
        return class_logits.new_zeros(*class_logits.shape[:2], 0)
    points = torch.rand(1, num_points, 2, device=features.device)
    # Sampling is linear: mask logits at the points are the embeddings times the features there.
    features = sample(features[None], points)[0]  # CxP
    masks = sample(targets.masks[None].float(), points)[0]  # GxP
    ground_truth = InstanceData(labels=targets.labels, masks=masks)
    step = max(1, LOGITS_PER_STEP // num_points)
    parts = []
    for scores, embedding in zip(
        class_logits.flatten(0, 1).split(step), embeddings.flatten(0, 1).split(step), strict=True
    ):
        queries = InstanceData(scores=scores, masks=embedding @ features)
        first, *others = (_with_fewer_passes(cost)(queries, ground_truth) for cost in costs)
        parts.append(sum(others, first))
    return torch.cat(parts).view(*class_logits.shape[:2], -1)


def _with_fewer_passes(cost: Any) -> MatchCost:
    """Return mmdet's cost, or an equal form of it that goes over the points fewer times."""
    if type(cost) is not CrossEntropyLossCost or not cost.use_sigmoid:
        return cost
    return lambda queries, truth: cost.weight * mean_cross_entropy(queries.masks, truth.masks)


def mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean binary cross entropy (N, G) of logits (N, P) and targets (G, P) in 0..1.

    It uses -t log s(x) - (1 - t) log (1 - s(x)) = softplus(x) - t x.
    """
    return (F.softplus(logits).sum(1, keepdim=True) - logits @ targets.T) / logits.shape[1]


def _assign(costs: Tensor) -> Tensor:
    """Return the cheapest (query, segment) pairs (2, layers, pairs) for costs (layers, Q, G)."""
    # With segments first, each layer has them in order if there are at most as many as queries.
    pairs = np.array([linear_sum_assignment(layer.T) for layer in costs.numpy()], dtype=np.int64)
    return torch.from_numpy(pairs).transpose(0, 1).flip(0)
