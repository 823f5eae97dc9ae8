"""Focal loss and NMS against their definitions, and mmcv's functions that call them."""

import pytest
import torch
from mmcv.ops import batched_nms, sigmoid_focal_loss
from mmdet.evaluation.functional import bbox_overlaps
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

from mmproscale.ops.detection_ops import nms
from mmproscale.ops.mmcv_attention import has_compiled_ops


@pytest.fixture
def focal_loss_on_cpu():
    if has_compiled_ops():
        pytest.skip("mmcv's compiled focal loss has no CPU kernel, and our stand-in is not used")


@pytest.mark.parametrize("gamma", [2.0, 1.5])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_focal_loss_and_its_gradient_equal_mmdets(focal_loss_on_cpu, gamma, reduction):
    logits = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 4, 4, 0])  # 4 is background
    loss = sigmoid_focal_loss(logits, labels, gamma, 0.25, None, reduction)
    (gradient,) = torch.autograd.grad(loss.square().sum(), logits)

    one_hot = torch.nn.functional.one_hot(labels, 5)[:, :4]
    expected = py_sigmoid_focal_loss(logits, one_hot, None, gamma, 0.25, "none")
    if reduction == "mean":
        expected = expected.sum() / len(logits)  # mmcv's mean is over samples
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), logits)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_focal_loss_multiplies_class_weights(focal_loss_on_cpu):
    logits, labels = torch.randn(3, 2), torch.tensor([0, 1, 1])
    weight = torch.tensor([1.0, 3.0])
    plain = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, "none")
    weighed = sigmoid_focal_loss(logits, labels, 2.0, 0.25, weight, "none")
    torch.testing.assert_close(weighed, plain * weight[labels][:, None])


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
def test_nms_equals_its_definition(n, threshold):
    boxes, scores = boxes_and_scores(n)
    assert nms(boxes, scores, threshold).tolist() == by_definition(boxes, scores, threshold)


def test_nms_keeps_boxes_without_area_unless_an_offset_gives_them_one():
    boxes, scores = torch.tensor([[3.0, 3, 3, 3], [3, 3, 3, 3]]), torch.tensor([0.1, 0.2])
    assert nms(boxes, scores, 0.5).tolist() == [1, 0]
    assert nms(boxes, scores, 0.5, offset=1).tolist() == [1]


def test_mmcvs_batched_nms_suppresses_within_classes():
    boxes, scores = boxes_and_scores(30, seed=1)
    boxes, classes = boxes.repeat(2, 1), torch.arange(2).repeat_interleave(30)
    scores = scores.repeat(2)
    _, kept = batched_nms(boxes, scores, classes, dict(type="nms", iou_threshold=0.3))
    once = by_definition(boxes[:30], scores[:30], 0.3)
    assert sorted(kept.tolist()) == sorted(once + [k + 30 for k in once])
