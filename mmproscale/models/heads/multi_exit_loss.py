"""ECO-M2F's step A (section 3.1, eq. 3): every exit is trained, through the one query decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from mmengine.dist import broadcast
from torch import Tensor, nn

from mmproscale.errors import InputError
from mmproscale.registry import MODELS

Losses = dict[str, Tensor]
LossesAt = Callable[[Sequence[int], bool], Iterator[tuple[int, Losses]]]
EXITS = ("all", "sample")
WEIGHTINGS = ("WSD", "USD")


@MODELS.register_module()
class MultiExitLoss:
    """A model's losses at the exits of its encoder, in the place of those after all layers.

    Args:
        exits: ``'all'`` in every step, or ``'sample'``: one, drawn anew for each step and the same
            in all processes. Layers after it then have gradients of zero.
        weighting: ``'WSD'`` weighs exit k by k, scaled to mean 1 (weighted stochastic depth),
            ``'USD'`` weighs all alike (Table 5).
        with_cp: Whether all that an exit adds, from the encoder to the queries, is computed again
            in the backward pass: slower, in less memory.

    Raises:
        InputError: Another ``exits`` or ``weighting``.
    """

    def __init__(self, exits: str = "all", weighting: str = "WSD", with_cp: bool = False) -> None:
        if exits not in EXITS or weighting not in WEIGHTINGS:
            raise InputError(
                f"exit_loss has exits={exits!r} and weighting={weighting!r}: they must be one of "
                f"{EXITS} and one of {WEIGHTINGS}"
            )
        self.exits, self.weighting, self.with_cp = exits, weighting, with_cp

    def __call__(
        self, exits: Sequence[int], encoder: nn.Module, losses_at: LossesAt
    ) -> dict[str, Tensor]:
        """Weighted losses by mmdet's names after the exit's: ``exit4.d0.loss_dice``.

        Args:
            exits: Those of the model, ascending.
            encoder: Has ``layers`` and their ``schedule``.
            losses_at: Yields (exit, losses, ``loss_cls`` among them) at some exits, ascending; told
                whether to compute again in the backward pass what an exit adds.
        """
        weights = exit_weights(exits, self.weighting)
        trained = exits if self.exits == "all" else (draw(exits),)
        losses = {
            f"exit{exit_}.{name}": _times(weights[exit_], value)
            for exit_, of_exit in losses_at(trained, self.with_cp)
            for name, value in of_exit.items()
        }
        last = f"exit{trained[-1]}.loss_cls"
        losses[last] = losses[last] + _nothing_of(encoder, trained[-1])
        return losses


def build_exit_loss(config: dict, exits: Sequence[int]) -> MultiExitLoss:
    """The loss of a config, for a model with these exits.

    Raises:
        InputError: Fewer than two exits; an argument that can't be.
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
    """The alpha_k of eq. 3, with mean 1: growing as k, or all alike."""
    if weighting == "USD":
        return dict.fromkeys(exits, 1.0)
    return {k: k * len(exits) / sum(exits) for k in exits}


def _times(weight: float, value: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """A weighted loss; of DDQ, which has lists of them, the list."""
    return weight * value if isinstance(value, Tensor) else [weight * one for one in value]


def draw(exits: Sequence[int]) -> int:
    """One of the exits, the same in all processes."""
    index = torch.randint(len(exits), (1,))
    broadcast(index)
    return exits[int(index)]


def _nothing_of(encoder: nn.Module, exit_: int) -> Tensor | float:
    """Zero, by way of the layers that an exit does without.

    So their gradient is what it is, zero, and not missing: processes wait for one another's
    gradients of every parameter, and Adam's moments follow the expected loss over exits.
    """
    skipped = [encoder.layers[index] for index in encoder.schedule.skipped_layers(exit_)]
    return sum((0.0 * p.sum() for layer in skipped for p in layer.parameters()), 0.0)
