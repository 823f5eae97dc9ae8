"""Losses in steps against autograd's own way."""

import pytest
import torch

from mmproscale.models.criterion import row_losses as row_losses_module
from mmproscale.models.criterion.row_losses import row_losses


def squares(predicted, truth):
    return (predicted - truth).square().sum(1)


def mixed(predicted, truth):
    return 1 - (predicted.sigmoid() * truth).sum(1) / (predicted.exp().sum(1) + 1)


@pytest.mark.parametrize("step", [1, 14, 10**9])
def test_values_and_gradients_are_autograds(monkeypatch, step):
    monkeypatch.setattr(row_losses_module, "NUMBERS_PER_STEP", step)
    predicted = torch.randn(5, 7, dtype=torch.double, requires_grad=True)
    truth = torch.rand(5, 7, dtype=torch.double)
    weights = torch.rand(2, 5, dtype=torch.double)  # each row and loss may weigh differently
    ours = row_losses(predicted, truth, (squares, mixed))
    expected = torch.stack([squares(predicted, truth), mixed(predicted, truth)])
    torch.testing.assert_close(ours, expected)
    (mine,) = torch.autograd.grad((ours * weights).sum(), predicted)
    (autograds,) = torch.autograd.grad((expected * weights).sum(), predicted)
    torch.testing.assert_close(mine, autograds)


def test_gradients_may_be_taken_twice():
    predicted = torch.randn(3, 4, requires_grad=True)
    loss = row_losses(predicted, torch.rand(3, 4), (squares,)).sum()
    first = torch.autograd.grad(loss, predicted, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, predicted)[0])
