"""Step C of ECO-M2F (section 3.3) as a whole: gates for one beta, for many, or for a budget.

A gate is fitted to one part of the images and judged by the other, and that gate is what a
checkpoint gets: what is reported is what is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmproscale.early_exit.budget import beta_for_budget
from mmproscale.early_exit.derived_table import DerivedTable
from mmproscale.early_exit.gate_fitting import FittedGate, fit_best_gate
from mmproscale.early_exit.trade_off import Point, TradeOff
from mmproscale.early_exit.utility import best_exits, largest_useful_beta, utilities
from mmproscale.errors import InputError

BETAS = (0.0, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1)
"""Those of the paper (Table 3) span 0 to 0.1."""


class GateSweep:
    """Gates of one derived dataset.

    Args:
        fitting: The images that gates are fitted to.
        judge: Judges them by the others.
        loss: A name in ``LOSSES``.
    """

    def __init__(self, fitting: DerivedTable, judge: TradeOff, loss: str = "u-ce") -> None:
        self.fitting, self.judge, self.loss = fitting, judge, loss

    def fit(self, beta: float, max_layers: int | None = None) -> FittedGate:
        """The gate of one beta.

        Raises:
            InputError: As :func:`~mmproscale.early_exit.utility.utilities` and ``fit_gate``.
        """
        wanted = utilities(self.fitting, beta, max_layers)
        return fit_best_gate(self.fitting.gate_inputs, wanted, self.loss)

    def judge_gate(
        self,
        gate: FittedGate,
        beta: float | None,
        max_layers: int | None = None,
        kind: str = "gate",
    ) -> Point:
        """What a gate comes to on the images that were held out."""
        choice = gate.choose(self.judge.table.gate_inputs)
        return self.judge.point(kind, _name(kind, beta, max_layers), choice, beta, max_layers)

    def oracle(self, beta: float, max_layers: int | None = None) -> Point:
        """What one comes to that knows each image's best exit."""
        choice = best_exits(utilities(self.judge.table, beta, max_layers))
        return self.judge.point(
            "oracle", _name("oracle", beta, max_layers), choice, beta, max_layers
        )

    def curve(
        self,
        betas: Sequence[float] = BETAS,
        max_layers: Sequence[int | None] = (None,),
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> list[Point]:
        """Fixed exits, and a gate and an oracle for every beta and number of layers.

        Raises:
            InputError: As :meth:`fit`.
        """
        points, total = self.judge.fixed_exits(), len(betas) * len(max_layers)
        settings = [(layers, beta) for layers in max_layers for beta in sorted(betas)]
        progress(0, total)
        for done, (layers, beta) in enumerate(settings, start=1):
            points.append(self.judge_gate(self.fit(beta, layers), beta, layers))
            points.append(self.oracle(beta, layers))
            progress(done, total)
        return points

    def beta_for(self, budget: float, max_layers: int | None = None) -> float:
        """The smallest beta found whose gate keeps within a budget on the images held out.

        Args:
            budget: Mean of the whole model as run, in billions of multiply-accumulates.
            max_layers: As :meth:`fit`'s.

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

        # Twice as much leaves no doubt, whatever the loss makes of near misses.
        return beta_for_budget(cost, budget, 2 * largest_useful_beta(self.fitting))


def warning_of(point: Point, budget: float | None = None) -> str | None:
    """What there is to say of a gate that does not choose; None of one that does.

    Args:
        point: What it does.
        budget: By which its beta was found, if it was.
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
