"""Focal loss against mmdet's own, through mmcv's function, forward and backward."""

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss


@pytest.mark.parametrize("gamma", [2.0, 1.5])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_mmcvs_function_gives_mmdets_loss_and_gradient(gamma, reduction):
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


def test_classes_may_be_weighed():
    logits, labels = torch.randn(3, 2), torch.tensor([0, 1, 1])
    weight = torch.tensor([1.0, 3.0])
    plain = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, "none")
    weighed = sigmoid_focal_loss(logits, labels, 2.0, 0.25, weight, "none")
    torch.testing.assert_close(weighed, plain * weight[labels][:, None])
