"""Fusion of queries to instances with score, mask and box, as in mmdet's fusion head."""

from __future__ import annotations

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmproscale.models.fusion.image_frame import ImageFrame


def instances(
    class_logits: Tensor,
    masks: Tensor,
    frame: ImageFrame,
    num_things: int,
    max_per_image: int = 100,
) -> InstanceData:
    """Return the things among the best pairs of query and class.

    Args:
        class_logits: (Q, classes + 1), the last class being 'no object'.
        masks: (Q, h, w) mask logits of the batch, at any size.
        frame: Sizes of batch, image and result.
        num_things: Number of thing classes, which come first.
        max_per_image: Largest number of pairs, stuff included.

    Returns:
        ``scores`` (N,) fp32: class score times mean probability within the mask; ``labels`` (N,);
        ``masks`` (N, H, W) bool; ``bboxes`` (N, 4) as x1, y1, x2, y2 in pixels, zeros for an empty
        mask.
    """
    scores = class_logits.float().softmax(-1)[:, :-1]
    num_classes = scores.shape[-1]
    best, pairs = scores.flatten().topk(min(max_per_image, scores.numel()), sorted=False)
    is_thing = pairs % num_classes < num_things
    best, pairs = best[is_thing], pairs[is_thing]
    # Several pairs of one query share its mask.
    queries, mask_index = (pairs // num_classes).unique(return_inverse=True)
    binary, quality, boxes = _binarize(masks[queries], frame)
    return InstanceData(
        bboxes=boxes[mask_index],
        labels=pairs % num_classes,
        scores=best * quality[mask_index],
        masks=binary[mask_index],
    )


def _binarize(masks: Tensor, frame: ImageFrame) -> tuple[Tensor, Tensor, Tensor]:
    """Return masks (N, H, W) bool, the mean probability within each (N,), and boxes (N, 4)."""
    binary = torch.zeros((len(masks), *frame.output), dtype=torch.bool, device=masks.device)
    quality = torch.zeros(len(masks), device=masks.device)
    boxes = torch.zeros(len(masks), 4, device=masks.device)
    for part, resized in frame.resized_chunks(masks):
        inside = resized > 0
        binary[part], boxes[part] = inside, mask_boxes(inside)
        inside = inside.to(resized.dtype)
        total = (resized.sigmoid() * inside).flatten(1).sum(1)
        quality[part] = total / (inside.flatten(1).sum(1) + 1e-6)
    return binary, quality, boxes


def mask_boxes(masks: Tensor) -> Tensor:
    """Return boxes (N, 4) of masks (N, H, W) bool: x1, y1, x2, y2 in pixels, zeros if empty."""
    spans = []
    for occupied in (masks.any(1), masks.any(2)):  # columns, rows
        occupied = occupied.to(torch.uint8)
        first = occupied.argmax(-1)
        end = occupied.shape[-1] - occupied.flip(-1).argmax(-1)
        spans.append((first, end))
    (left, right), (top, bottom) = spans
    boxes = torch.stack([left, top, right, bottom], dim=-1)
    return (boxes * masks.flatten(1).any(-1, keepdim=True)).to(torch.float32)
