"""The gate, one linear layer: its losses (ECO-M2F section 3.3 and Table T2), and its fit.

The fit sees only vectors that step B stored, so it needs no image and no GPU. Three of the four
losses are convex in the weights, and the sum over all images is cheap: L-BFGS finds the minimum
without a learning rate or a seed, and the same vectors always give the same weights.

As printed, the formulas of Table T2 leave out the gate's output and the sign: softmax(q) is read as
softmax of the gate's logits, and the negative is minimised. Losses take logits and utilities, both
(N, E), and return the mean over images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor

from mmproscale.early_exit.utility import best_exits
from mmproscale.errors import InputError

CLOSED = -1e4
"""Logit of a closed exit; half precision can represent it."""

STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
FOLDS, MAX_IMAGES, MAX_STEPS = 5, 5_000, 60


def hard_ce(logits: Tensor, utilities: Tensor) -> Tensor:
    """Return the cross entropy to the target, the best exit (among equals the cheapest)."""
    # argmax promises no order among equals; the first of the largest is the cheapest exit.
    is_best = utilities == utilities.max(dim=1, keepdim=True).values
    return F.cross_entropy(logits, is_best.to(logits.dtype).argmax(dim=1))


def u_ce(logits: Tensor, utilities: Tensor) -> Tensor:
    """Return the cross entropy weighted by the utilities.

    A large beta makes utilities negative, with which the loss would have no lower bound; they count
    as 0.
    """
    return -(utilities.clamp(min=0) * logits.log_softmax(dim=1)).sum(1).mean()


def soft_ce(logits: Tensor, utilities: Tensor) -> Tensor:
    """Return the cross entropy to softmax(u)."""
    return F.cross_entropy(logits, utilities.softmax(dim=1))


def soft_mse(logits: Tensor, utilities: Tensor) -> Tensor:
    """Return the squared distance of softmax(u) and softmax(logits), summed over exits."""
    return (utilities.softmax(dim=1) - logits.softmax(dim=1)).square().sum(1).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "hard-ce": hard_ce,
    "u-ce": u_ce,
    "soft-ce": soft_ce,
    "soft-mse": soft_mse,
}


@dataclass(frozen=True)
class FittedGate:
    """Weights of the gate's linear layer.

    Args:
        weight: (E, C) float32.
        bias: (E,) float32.
    """

    weight: np.ndarray
    bias: np.ndarray

    def choose(self, gate_inputs: np.ndarray) -> np.ndarray:
        """Return each image's exit, (N,) indices of exits, for gate inputs (N, C)."""
        return (gate_inputs @ self.weight.T + self.bias).argmax(1)


def fit_best_gate(gate_inputs: np.ndarray, utilities: np.ndarray, loss: str = "u-ce") -> FittedGate:
    """Fit a gate with the penalty that :func:`choose_strength` finds.

    Where all images have the same target, the strongest penalty is taken without a search.
    Arguments and errors are those of :func:`fit_gate`.
    """
    targets = best_exits(utilities)
    same_target = (targets == targets[:1]).all()
    strength = max(STRENGTHS) if same_target else choose_strength(gate_inputs, utilities, loss)
    return fit_gate(gate_inputs, utilities, loss, strength)


def choose_strength(gate_inputs: np.ndarray, utilities: np.ndarray, loss: str = "u-ce") -> float:
    """Return the strength with the largest mean utility in a five-fold cross-validation.

    A fold is a run of images in the dataset's order, because neighbours may look alike, as frames
    of a film do. From many images, evenly spaced ones are used. Among equals the strongest wins.
    """
    count = min(len(gate_inputs), MAX_IMAGES)
    if count < 2 * FOLDS:
        return max(STRENGTHS)
    chosen = np.linspace(0, len(gate_inputs) - 1, count).astype(int)
    gate_inputs, utilities = gate_inputs[chosen], utilities[chosen]
    folds = np.array_split(np.arange(count), FOLDS)

    def utility_of(strength: float) -> float:
        total = 0.0
        for fold in folds:
            others = np.setdiff1d(np.arange(count), fold)
            gate = fit_gate(gate_inputs[others], utilities[others], loss, strength)
            total += float(utilities[fold, gate.choose(gate_inputs[fold])].sum())
        return total

    return max(sorted(STRENGTHS, reverse=True), key=utility_of)


def fit_gate(
    gate_inputs: np.ndarray, utilities: np.ndarray, loss: str = "u-ce", strength: float = 1.0
) -> FittedGate:
    """Fit a gate that minimises the loss plus a ridge penalty, which prevents overfitting.

    Args:
        gate_inputs: (N, C).
        utilities: (N, E); a column of -inf is a closed exit, which the gate never takes.
        loss: A name in ``LOSSES``.
        strength: The penalty strength / 2 * |W|^2 is added to the sum over images, for inputs
            scaled to variance 1; the bias has no penalty.

    Raises:
        InputError: The loss is unknown, or there are no images.
    """
    if loss not in LOSSES:
        raise InputError(f"loss '{loss}' is unknown: use one of {', '.join(LOSSES)}")
    if not len(gate_inputs):
        raise InputError("no image is left to fit the gate to: hold out a smaller share")
    is_open = np.isfinite(utilities).all(0)
    mean, scale = gate_inputs.mean(0, dtype=float), gate_inputs.std(0, dtype=float)
    # A channel that hardly varies would get weights whose products exceed float precision.
    scale = np.maximum(scale, 1e-3 * scale.max() or 1.0)
    inputs = torch.from_numpy(((gate_inputs - mean) / scale).astype(np.float32))
    weight, bias = _minimise(inputs, torch.from_numpy(utilities[:, is_open]), loss, strength)
    # The gate gets unscaled inputs, so (x - mean) / scale moves into its weights.
    weight /= scale
    bias -= weight @ mean
    all_weights = np.zeros((len(is_open), weight.shape[1]), np.float32)
    all_biases = np.full(len(is_open), CLOSED, np.float32)
    all_weights[is_open], all_biases[is_open] = weight, bias - bias.mean()
    return FittedGate(all_weights, all_biases)


def _minimise(
    inputs: Tensor, utilities: Tensor, loss: str, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (E, C) and bias (E,) for inputs (N, C) and utilities (N, E)."""
    (images, channels), exits = inputs.shape, utilities.shape[1]

    def value_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        layer = torch.from_numpy(parameters).view(exits, channels + 1).requires_grad_()
        weight, bias = layer[:, :-1], layer[:, -1]
        logits = torch.addmm(bias.float(), inputs, weight.float().T).double()
        value = LOSSES[loss](logits, utilities)
        value = value + strength / (2 * images) * weight.square().sum()
        (gradient,) = torch.autograd.grad(value, layer)
        return value.item(), gradient.numpy().ravel()

    start = np.zeros(exits * (channels + 1))
    options = dict(maxiter=MAX_STEPS, ftol=1e-8, gtol=1e-6)
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    layer = found.x.reshape(exits, channels + 1)
    return layer[:, :-1].copy(), layer[:, -1].copy()
