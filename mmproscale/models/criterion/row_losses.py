"""Losses of long rows that never hold all intermediate results in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Numbers of one step, so that autograd's intermediate results stay in the processor's cache.
NUMBERS_PER_STEP = 1_000_000

RowLoss = Callable[[Tensor, Tensor], Tensor]


def row_losses(predicted: Tensor, truth: Tensor, losses: Sequence[RowLoss]) -> Tensor:
    """Return several losses of each row, differentiable in ``predicted``.

    The gradients of each step are computed at once, and nothing else is kept.

    Args:
        predicted: (R, P).
        truth: (R, P).
        losses: Functions of some rows of both that return one number for each row.

    Returns:
        (losses, R).
    """
    return _RowLosses.apply(predicted, truth, losses)


class _RowLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predicted: Tensor, truth: Tensor, losses: Sequence[RowLoss]) -> Tensor:
        values = predicted.new_empty(len(losses), len(predicted))
        grads = predicted.new_empty(len(losses), *predicted.shape)
        step = max(1, NUMBERS_PER_STEP // max(1, predicted.shape[1]))
        for start in range(0, len(predicted), step):
            rows = slice(start, start + step)
            for index, loss in enumerate(losses):
                with torch.enable_grad():
                    leaf = predicted[rows].detach().requires_grad_()
                    by_row = loss(leaf, truth[rows])
                    grads[index, rows] = torch.autograd.grad(by_row.sum(), leaf)[0]
                values[index, rows] = by_row.detach()
        ctx.save_for_backward(grads)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (grads,) = ctx.saved_tensors
        total = grads[0] * grad[0, :, None]
        for loss_grads, weight in zip(grads[1:], grad[1:], strict=True):
            total.addcmul_(loss_grads, weight[:, None])
        return total, None, None
