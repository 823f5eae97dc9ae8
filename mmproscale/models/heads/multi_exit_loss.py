"""Loss of several exits, ECO-M2F's step A (section 3.1, eq. 3); they share the query decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import broadcast
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.models.encoders.exit_gate import LayeredEncoder
from mmproscale.registry import MODELS

Losses = dict[str, Any]  # tensors; some of DDQ's are lists of tensors
LossesAt = Callable[[Sequence[int], bool], Iterator[tuple[int, Losses]]]
EXITS = ("all", "sample")
WEIGHTINGS = ("WSD", "USD")


@MODELS.register_module()
class MultiExitLoss:
    """Losses of a model at the exits of its encoder, instead of those after all layers.

    Args:
        exits: ``'all'`` in every step, or ``'sample'``: one exit, drawn for each step, the same in
            all processes. Layers after it then have gradients of zero.
        weighting: ``'WSD'`` weights exit k by k, scaled to mean 1 (weighted stochastic depth);
            ``'USD'`` weights all exits equally (Table 5).
        with_cp: Compute the parts of each exit, from encoder to queries, again in the backward
            pass: slower, with less memory.

    Raises:
        InputError: ``exits`` or ``weighting`` is unknown.
    """

    def __init__(self, exits: str = "all", weighting: str = "WSD", with_cp: bool = False) -> None:
        if exits not in EXITS or weighting not in WEIGHTINGS:
            raise InputError(
                f"exit_loss has exits={exits!r} and weighting={weighting!r}: they must be one of "
                f"{EXITS} and one of {WEIGHTINGS}"
            )
        self.exits, self.weighting, self.with_cp = exits, weighting, with_cp

    def __call__(
        self, exits: Sequence[int], encoder: LayeredEncoder, losses_at: LossesAt
    ) -> Losses:
        """Return weighted losses by mmdet's names, prefixed with the exit: ``exit4.d0.loss_dice``.

        Args:
            exits: Exits of the model, ascending.
            encoder: Encoder with ``layers`` and a ``schedule``.
            losses_at: Yields (exit, losses with ``loss_cls``) at the given exits, ascending; its
                second argument is ``with_cp``.
        """
        weights = exit_weights(exits, self.weighting)
        trained = exits if self.exits == "all" else (draw_exit(exits),)
        losses: Losses = {
            f"exit{exit_}.{name}": _weighted(weights[exit_], value)
            for exit_, exit_losses in losses_at(trained, self.with_cp)
            for name, value in exit_losses.items()
        }
        last = f"exit{trained[-1]}.loss_cls"
        losses[last] = losses[last] + _zero_from_skipped_layers(encoder, trained[-1])
        return losses


def build_exit_loss(config: dict, exits: Sequence[int]) -> MultiExitLoss:
    """Build the loss of a config, for a model with these exits.

    Raises:
        InputError: Fewer than two exits; an invalid argument.
    """
    if len(exits) < 2:
        raise InputError(
            f"exit_loss trains several exits, and the encoder has {tuple(exits) or 'none'}: set "
            "exits or a schedule that has more, or exit_loss=None"
        )
    try:
        return MODELS.build(config)
    except TypeError as error:
        raise InputError(f"exit_loss={dict(config)}: {error}") from error


def exit_weights(exits: Sequence[int], weighting: str) -> dict[int, float]:
    """Return alpha_k of eq. 3 for each exit k, with mean 1: proportional to k, or all equal."""
    if weighting == "USD":
        return dict.fromkeys(exits, 1.0)
    return {k: k * len(exits) / sum(exits) for k in exits}


def _weighted(weight: float, value: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """Multiply a loss, or each loss of a list, by a weight."""
    return weight * value if isinstance(value, Tensor) else [weight * one for one in value]


def draw_exit(exits: Sequence[int]) -> int:
    """Draw one of the exits, the same in all processes."""
    index = torch.randint(len(exits), (1,))
    broadcast(index)
    return exits[int(index)]


def _zero_from_skipped_layers(encoder: LayeredEncoder, exit_: int) -> Tensor | float:
    """Return zero, computed from the parameters of the layers that an exit skips.

    Their gradients are then zero instead of missing: processes wait for each other's gradients of
    every parameter, and Adam's moments follow the expected loss over exits.
    """
    skipped = [encoder.layers[index] for index in encoder.schedule.skipped_layers(exit_)]
    return sum((0.0 * p.sum() for layer in skipped for p in layer.parameters()), 0.0)
