"""Utility of every exit for an image, and the target exit (ECO-M2F eq. 4 and 5)."""

from __future__ import annotations

import numpy as np

from mmproscale.early_exit.derived_table import DerivedTable
from mmproscale.errors import InputError


def utilities(table: DerivedTable, beta: float, max_layers: int | None = None) -> np.ndarray:
    """Return u(k) = q_k - beta * cost_k / mean layer cost of each image and exit, (N, E).

    This is eq. 4, q_k - beta * k, where all layers cost alike. An undefined quality counts as 1:
    there was nothing to find, and nothing was found. Exits after more than ``max_layers`` are
    closed, their utility is -inf.

    Raises:
        InputError: ``beta`` is not a finite number from 0, or fewer than two exits are open.
    """
    if not 0 <= beta < np.inf:
        raise InputError(f"beta {beta} must be a number from 0")
    is_open = _open_exits(table.origin.exits, max_layers)
    quality = np.where(np.isnan(table.quality), 1.0, table.quality)
    return np.where(is_open, quality - beta * table.relative_costs, -np.inf)


def best_exits(values: np.ndarray) -> np.ndarray:
    """Return each image's target (eq. 5), (N,) indices of exits; among equals the cheapest."""
    return values.argmax(1)


def largest_useful_beta(table: DerivedTable) -> float:
    """Return the beta from which on the cheapest exit is the target of every image."""
    quality = utilities(table, 0.0)
    gained = quality[:, 1:] - quality[:, :1]
    paid = table.relative_costs[:, 1:] - table.relative_costs[:, :1]
    return max(float((gained / paid).max()), 0.0)


def _open_exits(exits: tuple[int, ...], max_layers: int | None) -> np.ndarray:
    """Return (E,) whether each exit is after at most ``max_layers`` layers."""
    if len(exits) < 2:
        raise InputError(
            f"the derived file has one exit, {exits[0]}: a gate needs two or more to choose from"
        )
    is_open = np.array(exits) <= (exits[-1] if max_layers is None else max_layers)
    if is_open.sum() < 2:
        raise InputError(
            f"at most {max_layers} layers leave {is_open.sum()} of the exits {exits}: a gate needs "
            f"two or more, so give {exits[1]} or more"
        )
    return is_open
