"""NMS against its definition, and where mmcv asks for it."""

import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.evaluation.functional import bbox_overlaps

from mmproscale.ops.non_maximum_suppression import nms


def boxes_and_scores(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator)
    size = torch.rand(n, 2, generator=generator) / 2
    return torch.cat([corner, corner + size], 1), torch.rand(n, generator=generator)


def by_definition(boxes, scores, threshold):
    iou = bbox_overlaps(boxes.numpy(), boxes.numpy())
    kept = []
    for index in scores.argsort(descending=True).tolist():
        if all(iou[index, other] <= threshold for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("n", [0, 1, 60])
def test_is_the_definition(n, threshold):
    boxes, scores = boxes_and_scores(n)
    assert nms(boxes, scores, threshold).tolist() == by_definition(boxes, scores, threshold)


def test_boxes_without_area_stay_and_an_offset_gives_them_one():
    boxes, scores = torch.tensor([[3.0, 3, 3, 3], [3, 3, 3, 3]]), torch.tensor([0.1, 0.2])
    assert nms(boxes, scores, 0.5).tolist() == [1, 0]
    assert nms(boxes, scores, 0.5, offset=1).tolist() == [1]


def test_mmcv_calls_it_class_by_class():
    boxes, scores = boxes_and_scores(30, seed=1)
    boxes, classes = boxes.repeat(2, 1), torch.arange(2).repeat_interleave(30)
    scores = scores.repeat(2)
    _, kept = batched_nms(boxes, scores, classes, dict(type="nms", iou_threshold=0.3))
    once = by_definition(boxes[:30], scores[:30], 0.3)
    assert sorted(kept.tolist()) == sorted(once + [k + 30 for k in once])
