"""Step C of ECO-M2F (section 3.3): fitted and judged gates for one beta, many betas or a budget.

A gate is fitted to one part of the images and judged by the others. The judged gate is the one that
a checkpoint gets, so reported figures describe the gate in use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

from mmproscale.early_exit.derived_table import DerivedTable
from mmproscale.early_exit.gate_fitting import FittedGate, fit_best_gate
from mmproscale.early_exit.trade_off import Point, TradeOff
from mmproscale.early_exit.utility import best_exits, largest_useful_beta, utilities
from mmproscale.errors import InputError

BETAS = (0.0, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1)
"""The paper's betas (Table 3) lie in the same range, 0 to 0.1."""

HALVINGS = 12
SMALLEST_BETA = 1e-5
"""As a share of the largest useful beta; below it, cost hardly counts."""


class GateSweep:
    """Gates of one derived dataset.

    Args:
        fitting: The images that gates are fitted to.
        judge: The trade-off of the images that gates are judged by.
        loss: A name in ``LOSSES``.
    """

    def __init__(self, fitting: DerivedTable, judge: TradeOff, loss: str = "u-ce") -> None:
        self.fitting, self.judge, self.loss = fitting, judge, loss

    def fit(self, beta: float, max_layers: int | None = None) -> FittedGate:
        """Fit the gate of one beta; exits after more than ``max_layers`` are closed.

        Raises:
            InputError: As :func:`~mmproscale.early_exit.utility.utilities` and ``fit_gate``.
        """
        values = utilities(self.fitting, beta, max_layers)
        return fit_best_gate(self.fitting.gate_inputs, values, self.loss)

    def judge_gate(
        self,
        gate: FittedGate,
        beta: float | None,
        max_layers: int | None = None,
        kind: str = "gate",
    ) -> Point:
        """Return a gate's point on the images to judge by."""
        choice = gate.choose(self.judge.table.gate_inputs)
        return self.judge.point(kind, _name(kind, beta, max_layers), choice, beta, max_layers)

    def oracle(self, beta: float, max_layers: int | None = None) -> Point:
        """Return the point at which every image takes its target exit."""
        name = _name("oracle", beta, max_layers)
        choice = best_exits(utilities(self.judge.table, beta, max_layers))
        return self.judge.point("oracle", name, choice, beta, max_layers)

    def curve(
        self,
        betas: Sequence[float],
        max_layers: Sequence[int | None] = (None,),
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> list[Point]:
        """Return fixed exits, and a gate and an oracle for every beta and number of layers.

        Raises:
            InputError: As :meth:`fit`.
        """
        points = self.judge.fixed_exits()
        settings = [(layers, beta) for layers in max_layers for beta in sorted(betas)]
        progress(0, len(settings))
        for done, (layers, beta) in enumerate(settings, start=1):
            points.append(self.judge_gate(self.fit(beta, layers), beta, layers))
            points.append(self.oracle(beta, layers))
            progress(done, len(settings))
        return points

    def beta_for(self, budget: float, max_layers: int | None = None) -> float:
        """Return the smallest beta found whose gate keeps within a budget on the images held out.

        Args:
            budget: Mean cost of the whole model as run, in 10^9 multiply-accumulates.
            max_layers: As for :meth:`fit`.

        Raises:
            InputError: The cheapest exit costs more.
        """
        cheapest = self.judge.fixed_exits()[0]
        if cheapest.gmacs > budget:
            raise InputError(
                f"nothing fits {budget:g} GFLOPs: the cheapest, {cheapest.name}, takes "
                f"{cheapest.gmacs:.4g} on average"
            )

        def cost(beta: float) -> float:
            choice = self.fit(beta, max_layers).choose(self.judge.table.gate_inputs)
            return self.judge.mean_cost(choice)

        # A fitted gate may miss some targets; with twice the beta it takes the cheapest exit.
        return beta_for_budget(cost, budget, 2 * largest_useful_beta(self.fitting))


def beta_for_budget(
    expected_cost: Callable[[float], float], budget: float, largest: float
) -> float:
    """Return the smallest beta found whose gate is within a budget; 0 if that one is.

    The paper leaves the choice of beta to trial (section 5). The search halves the logarithm of
    beta. A gate's cost falls with beta, apart from irregularities of its fit; the beta that is
    returned has been tried.

    Args:
        expected_cost: Function from beta to the mean cost of its gate.
        budget: At least the cost of the cheapest exit, in the same unit.
        largest: A beta for which the gate takes the cheapest exit.
    """
    if expected_cost(0.0) <= budget:
        return 0.0
    low, high = SMALLEST_BETA * largest, largest
    for _ in range(HALVINGS):
        middle = sqrt(low * high)
        if expected_cost(middle) <= budget:
            high = middle
        else:
            low = middle
    return high


def warning_of(point: Point, budget: float | None = None) -> str | None:
    """Return a warning if a gate sends all images to one exit, else None.

    Args:
        point: The gate's point.
        budget: The budget for which its beta was found, if any.
    """
    taken = [exit_ for exit_, number in point.exits.items() if number]
    if len(taken) > 1:
        return None
    cheapest = taken[0] == min(point.exits)
    if budget is not None:
        return (
            f"the gate sends every image to exit {taken[0]}, which is within {budget:g} GFLOPs: a "
            f"{'larger' if cheapest else 'smaller'} budget lets it choose"
        )
    return (
        f"with beta {point.beta:g} the gate sends every image to exit {taken[0]}: a "
        f"{'smaller' if cheapest else 'larger'} beta lets it choose"
    )


def _name(kind: str, beta: float | None, max_layers: int | None) -> str:
    parts = [kind] if beta is None else [f"{kind}, beta {beta:g}"]
    return ", ".join(parts + ([f"{max_layers} layers"] if max_layers is not None else []))
