"""Greedy non-maximum suppression in plain PyTorch, for where mmcv has no compiled one (DDQ)."""

import torch
from torch import Tensor


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices (K,) of the boxes that stay, by descending score.

    A box goes if its IoU with a better one that stays is above the threshold.

    Args:
        boxes: (N, 4) as (x1, y1, x2, y2).
        scores: (N,).
        iou_threshold: 0 to 1.
        offset: Added to widths and heights: 1 where coordinates are pixels, both included.
    """
    rest = scores.argsort(descending=True, stable=True)
    boxes = boxes[rest]
    areas = (boxes[:, 2:] - boxes[:, :2] + offset).prod(1)
    kept = []
    while len(rest):
        kept.append(rest[0])
        corner = torch.maximum(boxes[0, :2], boxes[1:, :2])
        sides = (torch.minimum(boxes[0, 2:], boxes[1:, 2:]) - corner + offset).clamp(min=0)
        overlap = sides.prod(1)
        # Two boxes without area have no IoU, and stay.
        apart = ~(overlap / (areas[0] + areas[1:] - overlap) > iou_threshold)
        rest, boxes, areas = rest[1:][apart], boxes[1:][apart], areas[1:][apart]
    return torch.stack(kept) if kept else rest
