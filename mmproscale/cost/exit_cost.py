"""What a model with an exit gate costs where an image leaves the encoder at each exit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmproscale.cost.model_cost import ModelCost


@dataclass(frozen=True)
class ExitCost:
    """Multiply-accumulates of one image that leaves at an exit; names are :class:`ModelCost`'s."""

    total: float
    pixel_decoder: float
    published_total: float
    published_pixel_decoder: float


def exit_cost(cost: ModelCost, exit_: int) -> ExitCost:
    """The cost at one exit, as a gate chooses it; the whole where no gate does."""
    saved = cost.saved.get(exit_, 0)
    return ExitCost(
        total=cost.total - saved,
        pixel_decoder=cost.pixel_decoder - saved,
        published_total=cost.published_total - saved,
        published_pixel_decoder=cost.published_pixel_decoder - saved,
    )


def mean_cost(costs: Sequence[ExitCost]) -> ExitCost:
    """The mean over images."""
    return ExitCost(
        *(
            sum(getattr(cost, name) for cost in costs) / len(costs)
            for name in ExitCost.__dataclass_fields__
        )
    )
