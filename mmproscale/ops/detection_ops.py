"""Detection's compiled ops of mmcv in plain PyTorch: focal loss (DINO) and NMS (DDQ)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss(logits: Tensor, labels: Tensor, gamma: float, alpha: float) -> Tensor:
    """Return the focal loss of each logit, (N, C) in fp32 or wider (RetinaNet, eq. 5).

    Args:
        logits: (N, C).
        labels: (N,), C or larger for background.
        gamma: Exponent; the larger it is, the less confident logits count.
        alpha: Weight of the logit of the label; the other logits have 1 - alpha.
    """
    # mmdet's own loss is in fp32 under autocast too.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    is_label = labels[:, None] == torch.arange(logits.shape[1], device=logits.device)
    signed = torch.where(is_label, logits, -logits)  # large where the logit is right
    balance = torch.where(is_label, alpha, 1 - alpha)
    return -balance * torch.sigmoid(-signed) ** gamma * F.logsigmoid(signed)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Return the indices (K,) of the boxes that stay, by descending score.

    A box goes if its IoU with a better one that stays is above the threshold.

    Args:
        boxes: (N, 4) as (x1, y1, x2, y2).
        scores: (N,).
        iou_threshold: 0 to 1.
        offset: Added to widths and heights: 1 for inclusive pixel coordinates.
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
        # Two boxes without area have an IoU of NaN, and stay.
        stays = ~(overlap / (areas[0] + areas[1:] - overlap) > iou_threshold)
        rest, boxes, areas = rest[1:][stays], boxes[1:][stays], areas[1:][stays]
    return torch.stack(kept) if kept else rest
