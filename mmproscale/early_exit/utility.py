"""What an exit is worth: quality less what it costs (ECO-M2F eq. 4 and 5)."""

from __future__ import annotations

import numpy as np

from mmproscale.early_exit.derived_table import DerivedTable
from mmproscale.errors import InputError


def utilities(table: DerivedTable, beta: float, max_layers: int | None = None) -> np.ndarray:
    """u(k) = q_k - beta * cost_k / mean layer cost of each image and exit, (N, E).

    This is eq. 4, q_k - beta * k, where all layers cost alike. Where there was nothing to find and
    nothing was found, quality counts as 1. Exits after more than ``max_layers`` are -inf.

    Raises:
        InputError: A beta below 0; ``max_layers`` that leave fewer than two exits.
    """
    if not 0 <= beta < np.inf:
        raise InputError(f"beta {beta} must be a number from 0")
    quality = np.where(np.isnan(table.quality), 1.0, table.quality)
    closed = ~open_exits(table.origin.exits, max_layers)
    values = quality - beta * table.relative_costs
    values[:, closed] = -np.inf
    return values


def open_exits(exits: tuple[int, ...], max_layers: int | None = None) -> np.ndarray:
    """(E,) whether an exit is after at most so many layers.

    Raises:
        InputError: Fewer than two are, so there is nothing to choose.
    """
    if len(exits) < 2:
        raise InputError(
            f"the derived file has one exit, {exits[0]}: a gate needs two or more to choose from"
        )
    allowed = np.array(exits) <= (exits[-1] if max_layers is None else max_layers)
    if allowed.sum() < 2:
        raise InputError(
            f"at most {max_layers} layers leave {allowed.sum()} of the exits {exits}: a gate needs "
            f"two or more, so give {exits[1]} or more"
        )
    return allowed


def best_exits(values: np.ndarray) -> np.ndarray:
    """The target of each image (eq. 5), (N,) places in the exits; of equals the cheapest."""
    return values.argmax(1)


def largest_useful_beta(table: DerivedTable) -> float:
    """From here on the cheapest exit is the target of every image."""
    quality = np.where(np.isnan(table.quality), 1.0, table.quality)
    gained = quality[:, 1:] - quality[:, :1]
    paid = table.relative_costs[:, 1:] - table.relative_costs[:, :1]
    return max(float((gained / paid).max()), 0.0)
