"""ECO-M2F's step A (section 3.1, eq. 3): every exit is trained, through the one query decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmengine.dist import broadcast
from torch import Tensor

from mmproscale.criterion import Targets
from mmproscale.errors import InputError
from mmproscale.pixel_decoders.scheduled_encoder import ScheduledEncoder
from mmproscale.registry import MODELS

if TYPE_CHECKING:
    from mmproscale.heads.mask_head import MaskHead

EXITS = ("all", "sample")
WEIGHTINGS = ("WSD", "USD")


@MODELS.register_module()
class MultiExitLoss:
    """The losses of a mask head at the exits of its pixel decoder, in the place of the last one's.

    Args:
        exits: ``'all'`` in every step, or ``'sample'``: one, drawn anew for each step and the same
            in all processes. Layers after it then have gradients of zero.
        weighting: ``'WSD'`` weighs exit k by k, scaled to mean 1 (weighted stochastic depth),
            ``'USD'`` weighs all alike (Table 5).
        with_cp: Whether all that an exit adds, from the pixel embedding to the queries, is computed
            again in the backward pass: slower, in less memory.

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
        self, head: MaskHead, feats: Sequence[Tensor], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        """Weighted losses by mmdet's names after the exit's: ``exit4.d0.loss_dice``.

        Args:
            head: With a criterion, and a pixel decoder that has exits.
            feats: Backbone maps (B, C_i, H_i, W_i), high resolution first.
            targets: Ground truth of each image.
        """
        decoder = head.pixel_decoder
        weights = exit_weights(decoder.exits, self.weighting)
        exits = decoder.exits if self.exits == "all" else (draw(decoder.exits),)
        losses = {
            f"exit{exit_}.{name}": weights[exit_] * loss
            for exit_, predictions in head.decode_exits(feats, exits, False, self.with_cp)
            for name, loss in head.criterion(predictions, targets).items()
        }
        last = f"exit{exits[-1]}.loss_cls"
        losses[last] = losses[last] + _nothing_of(decoder.encoder, exits[-1])
        return losses


def exit_weights(exits: Sequence[int], weighting: str) -> dict[int, float]:
    """The alpha_k of eq. 3, with mean 1: growing as k, or all alike."""
    if weighting == "USD":
        return dict.fromkeys(exits, 1.0)
    return {k: k * len(exits) / sum(exits) for k in exits}


def draw(exits: Sequence[int]) -> int:
    """One of the exits, the same in all processes."""
    index = torch.randint(len(exits), (1,))
    broadcast(index)
    return exits[int(index)]


def _nothing_of(encoder: ScheduledEncoder, exit_: int) -> Tensor | float:
    """Zero, by way of the layers that an exit does without.

    So their gradient is what it is, zero, and not missing: processes wait for one another's
    gradients of every parameter, and Adam's moments follow the expected loss over exits.
    """
    skipped = [encoder.layers[index] for index in encoder.schedule.skipped_layers(exit_)]
    return sum((0.0 * p.sum() for layer in skipped for p in layer.parameters()), 0.0)
