"""Fit the gate, one linear layer, to stored vectors: no image, no GPU, seconds.

With the vectors at hand the whole sum over images is cheap, and three of the four losses are
convex in the weights, so L-BFGS finds the minimum itself: no learning rate, no seed, the same
weights at each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from mmproscale.early_exit.gate_losses import LOSSES
from mmproscale.early_exit.utility import best_exits
from mmproscale.errors import InputError

CLOSED = -1e4
"""Logit of an exit that is not to be taken; half precision still has it."""

STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
FOLDS, MOST_IMAGES, MOST_STEPS = 5, 5_000, 60


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
        """The exit of each image, (N,) places in the exits, for gate inputs (N, C)."""
        return (gate_inputs @ self.weight.T + self.bias).argmax(1)


def fit_gate(
    gate_inputs: np.ndarray, utilities: np.ndarray, loss: str = "u-ce", strength: float = 1.0
) -> FittedGate:
    """Minimise a loss over images, plus a ridge penalty that keeps few images from being learnt
    by heart.

    Args:
        gate_inputs: (N, C).
        utilities: (N, E); a column of -inf is an exit that is not to be taken.
        loss: A name in ``LOSSES``.
        strength: The penalty is strength / 2 * |W|^2 beside the sum over images, for inputs scaled
            to variance 1; the bias is free.

    Raises:
        InputError: An unknown loss; no images.
    """
    if loss not in LOSSES:
        raise InputError(f"loss '{loss}' is unknown: use one of {', '.join(LOSSES)}")
    if not len(gate_inputs):
        raise InputError("no image is left to fit the gate to: hold out a smaller share")
    is_open = np.isfinite(utilities).all(0)
    mean, scale = gate_inputs.mean(0, dtype=float), gate_inputs.std(0, dtype=float)
    # A channel that hardly varies would get weights whose products no float can add up.
    scale = np.maximum(scale, 1e-3 * scale.max() or 1.0)
    inputs = torch.from_numpy(((gate_inputs - mean) / scale).astype(np.float32))
    wanted = torch.from_numpy(utilities[:, is_open])
    weight, bias = _minimise(inputs, wanted, loss, strength)
    # The layer sees inputs as they come: (x - mean) / scale goes into its weights.
    weight /= scale
    bias -= weight @ mean
    return _with_closed_exits(weight, bias - bias.mean(), is_open)


def _minimise(
    inputs: torch.Tensor, wanted: torch.Tensor, loss: str, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (E, C) and bias (E,) for inputs (N, C) and utilities (N, E)."""
    (images, channels), exits = inputs.shape, wanted.shape[1]

    def value_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        layer = torch.from_numpy(parameters).view(exits, channels + 1).requires_grad_()
        weight, bias = layer[:, :-1], layer[:, -1]
        logits = torch.addmm(bias.float(), inputs, weight.float().T).double()
        value = LOSSES[loss](logits, wanted)
        value = value + strength / (2 * images) * weight.square().sum()
        (gradient,) = torch.autograd.grad(value, layer)
        return value.item(), gradient.numpy().ravel()

    start = np.zeros(exits * (channels + 1))
    options = dict(maxiter=MOST_STEPS, ftol=1e-8, gtol=1e-6)
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    layer = found.x.reshape(exits, channels + 1)
    return layer[:, :-1].copy(), layer[:, -1].copy()


def _with_closed_exits(weight: np.ndarray, bias: np.ndarray, is_open: np.ndarray) -> FittedGate:
    all_weights = np.zeros((len(is_open), weight.shape[1]), np.float32)
    all_biases = np.full(len(is_open), CLOSED, np.float32)
    all_weights[is_open], all_biases[is_open] = weight, bias
    return FittedGate(all_weights, all_biases)


def choose_strength(
    gate_inputs: np.ndarray,
    utilities: np.ndarray,
    loss: str = "u-ce",
    strengths: Sequence[float] = STRENGTHS,
) -> float:
    """The penalty by which images that were left out fare best: five folds, mean utility.

    Folds are neighbours in the dataset's order, which in a film look alike. Of many images an even
    choice decides. Of equals the strongest wins. Arguments are those of :func:`fit_gate`.
    """
    count = min(len(gate_inputs), MOST_IMAGES)
    if count < 2 * FOLDS:
        return max(strengths)
    chosen = np.linspace(0, len(gate_inputs) - 1, count).astype(int)
    gate_inputs, utilities = gate_inputs[chosen], utilities[chosen]
    folds = np.array_split(np.arange(count), FOLDS)
    gained = {
        strength: sum(_gained(gate_inputs, utilities, loss, strength, fold) for fold in folds)
        for strength in sorted(strengths, reverse=True)
    }
    return max(gained, key=gained.__getitem__)


def _gained(
    gate_inputs: np.ndarray, utilities: np.ndarray, loss: str, strength: float, fold: np.ndarray
) -> float:
    """Utility of what a gate chooses for the images of a fold, which it has not seen."""
    others = np.setdiff1d(np.arange(len(gate_inputs)), fold)
    gate = fit_gate(gate_inputs[others], utilities[others], loss, strength)
    return float(utilities[fold, gate.choose(gate_inputs[fold])].sum())


def fit_best_gate(gate_inputs: np.ndarray, utilities: np.ndarray, loss: str = "u-ce") -> FittedGate:
    """:func:`fit_gate` with the penalty that :func:`choose_strength` finds.

    Where all images have one target there is nothing to weigh.
    """
    targets = best_exits(utilities)
    one_target = (targets == targets[:1]).all()
    strength = max(STRENGTHS) if one_target else choose_strength(gate_inputs, utilities, loss)
    return fit_gate(gate_inputs, utilities, loss, strength)
