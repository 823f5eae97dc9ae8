"""Fusion of queries to panoptic segments (MaskFormer, section 3.4), as in mmdet's fusion head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from torch import Tensor

from mmproscale.models.fusion.image_frame import ImageFrame


class PanopticMap(NamedTuple):
    """Panoptic result of one image.

    Attributes:
        values: (H, W) int32: label + INSTANCE_OFFSET * number of the thing, from 1 on; void is the
            number of classes.
        segment_values: (N,) int32, the value of each query that was kept; void where it lost its
            pixels. Queries of one stuff class share a value.
        scores: (N,) fp32 in 0..1, the class probability of each of those queries.
    """

    values: Tensor
    segment_values: Tensor
    scores: Tensor


@torch.no_grad()  # a map of labels has no gradient
def panoptic_map(
    class_logits: Tensor,
    masks: Tensor,
    frame: ImageFrame,
    num_things: int,
    object_mask_thr: float = 0.8,
    iou_thr: float = 0.8,
    filter_low_score: bool = False,
) -> PanopticMap:
    """Assign each pixel to the query with the highest score times mask probability.

    Args:
        class_logits: (Q, classes + 1), the last class being 'no object'.
        masks: (Q, h, w) mask logits of the batch, at any size.
        frame: Sizes of batch, image and result.
        num_things: Number of thing classes, which come first.
        object_mask_thr: Queries with at most this score are dropped.
        iou_thr: A segment that keeps less than this share of its mask is void.
        filter_low_score: Make pixels outside the winner's own mask void, as the authors' fusion.
    """
    void = class_logits.shape[-1] - 1
    scores, labels = class_logits.float().softmax(-1).max(-1)
    kept = ((labels != void) & (scores > object_mask_thr)).nonzero().flatten()
    scores, labels = scores[kept], labels[kept]
    if len(kept) == 0:
        nothing = torch.full(frame.output, void, dtype=torch.int32, device=masks.device)
        return PanopticMap(nothing, labels.int(), scores)
    winners, inside, mask_areas = _compete(masks[kept], scores, frame)
    areas = torch.bincount(winners.flatten(), minlength=len(kept))
    share = areas.double() / mask_areas
    alive = (areas > 0) & (mask_areas > 0) & (share >= iou_thr)
    things = labels < num_things
    number = (alive & things).cumsum(0)
    values = torch.where(things, labels + INSTANCE_OFFSET * number, labels)
    values = values.where(alive, labels.new_tensor(void)).int()
    result = values[winners]
    if filter_low_score:
        result = result.where(inside, values.new_tensor(void))
    return PanopticMap(result, values, scores)


def _compete(masks: Tensor, scores: Tensor, frame: ImageFrame) -> tuple[Tensor, Tensor, Tensor]:
    """Return each pixel's winner, True where its mask has the pixel, and the area of each mask.

    The first of equal queries wins. Masks are resized some at a time, which bounds the memory.
    Large tensors are overwritten and are floats: on a CPU new memory pages, booleans and
    ``max(0).indices`` take longer than the arithmetic.
    """
    best = scores.new_full(frame.output, -1.0)
    codes = torch.zeros_like(best)  # 2 * (number of masks from the winner to the last) + inside
    places = torch.arange(len(masks), 0, -1, device=masks.device, dtype=torch.float32)
    areas = []
    for part, resized in frame.resized_chunks(masks):
        values = resized.sigmoid_()
        inside = torch.ge(values, 0.5, out=torch.empty_like(values))
        areas.append(inside.sum(-1).long().sum(-1))
        values.mul_(scores[part, None, None])
        highest = values.amax(0)
        has_highest = torch.eq(values, highest, out=values)
        # Among equal queries the first one has the highest code.
        code = inside.add_(places[part, None, None], alpha=2).mul_(has_highest).amax(0)
        torch.where(highest > best, code, codes, out=codes)
        torch.maximum(highest, best, out=best)
    codes = codes.int()
    return len(masks) - (codes >> 1), (codes & 1).bool(), torch.cat(areas)
