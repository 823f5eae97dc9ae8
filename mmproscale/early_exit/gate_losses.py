"""The losses of the gate (ECO-M2F section 3.3 and Table T2), as means over images.

As printed, the formulas of Table T2 leave out the gate's output and the sign: softmax(q) is read as
softmax of the gate's logits, and the negative is minimised.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def hard_ce(logits: Tensor, utilities: Tensor) -> Tensor:
    """Cross entropy to the best exit, of equals the cheapest. Both arguments are (N, E)."""
    # argmax promises no order among equals; the first of the largest is the cheapest exit.
    is_best = utilities == utilities.max(dim=1, keepdim=True).values
    return F.cross_entropy(logits, is_best.to(logits.dtype).argmax(dim=1))


def u_ce(logits: Tensor, utilities: Tensor) -> Tensor:
    """Cross entropy weighted by the utilities themselves.

    One below 0, as a large beta makes them, would leave the loss without a lower bound: it counts
    as 0.
    """
    return -(utilities.clamp(min=0) * logits.log_softmax(dim=1)).sum(1).mean()


def soft_ce(logits: Tensor, utilities: Tensor) -> Tensor:
    """Cross entropy to softmax(u)."""
    return F.cross_entropy(logits, utilities.softmax(dim=1))


def soft_mse(logits: Tensor, utilities: Tensor) -> Tensor:
    """Squared distance between softmax(u) and the gate's own softmax, summed over exits."""
    return (utilities.softmax(dim=1) - logits.softmax(dim=1)).square().sum(1).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "hard-ce": hard_ce,
    "u-ce": u_ce,
    "soft-ce": soft_ce,
    "soft-mse": soft_mse,
}
