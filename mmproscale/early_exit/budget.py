"""The beta for a budget, which the paper leaves to trial (its section 5, limitations)."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

STEPS = 12
SMALLEST = 1e-5
"""Of the largest useful beta: below it, only the quality counts."""


def beta_for_budget(
    expected_cost: Callable[[float], float], budget: float, largest: float
) -> float:
    """The smallest beta found whose gate is within a budget; 0 where that is.

    By halving, in the logarithm of beta: a gate's cost falls with beta but for what its training
    makes of it, and what is returned was tried.

    Args:
        expected_cost: Mean cost of the gate for a beta.
        budget: In the same unit; that of the cheapest exit or more.
        largest: A beta for which the gate takes the cheapest exit.
    """
    if expected_cost(0.0) <= budget:
        return 0.0
    low, high = SMALLEST * largest, largest
    for _ in range(STEPS):
        middle = sqrt(low * high)
        if expected_cost(middle) <= budget:
            high = middle
        else:
            low = middle
    return high
