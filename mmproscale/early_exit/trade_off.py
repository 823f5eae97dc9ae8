"""Cost against quality of any way to choose exits, judged on images that no gate was fitted to.

Three ways stand side by side: one exit for all images, a gate's choice, and that of an oracle which
knows the best exit of each image. Costs are exact; what chance is in the quality, as other images
would have been drawn, a bootstrap over images says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmproscale.early_exit.box_matches import BoxMatches
from mmproscale.early_exit.derived_table import DerivedTable
from mmproscale.errors import InputError

RESAMPLES, AP_RESAMPLES, AT_ONCE = 1000, 200, 100
"""Of the bootstrap; AP of one goes through all detections, PQ through sums."""
CONFIDENCE = 0.95
GIGA = 1e9

Interval = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """One way to choose exits.

    Args:
        kind: ``fixed``, ``gate``, ``oracle`` or ``checkpoint``.
        name: Which of its kind.
        beta: Of a gate or an oracle.
        max_layers: Of a gate or an oracle; None for all.
        exits: Exit -> how many images take it.
        gmacs: Mean over images, of the whole model as run, in billions of multiply-accumulates.
        encoder_gmacs: The same of the encoder's layers.
        quality: In percent: of the dataset where the file has counts, else the images' mean.
        interval: Of ``quality``, by bootstrap.
        mean_image_quality: Mean over images, in percent.
        over_fixed: ``quality`` less that of fixed exits at the same cost, between whose points the
            line is straight.
        over_fixed_interval: By the same bootstrap.
    """

    kind: str
    name: str
    beta: float | None
    max_layers: int | None
    exits: dict[int, int]
    gmacs: float
    encoder_gmacs: float
    quality: float
    interval: Interval
    mean_image_quality: float
    over_fixed: float
    over_fixed_interval: Interval

    def as_json(self) -> dict[str, Any]:
        """For a program; exits are text."""
        exits = {str(exit_): number for exit_, number in self.exits.items()}
        return asdict(self) | {"exits": exits}


class TradeOff:
    """Judges choices of exits by some images.

    Args:
        table: The images.
        resamples: How many datasets the bootstrap draws; by default ``RESAMPLES``, of AP fewer.
        seed: Of the drawing.

    Raises:
        InputError: No images.
    """

    def __init__(self, table: DerivedTable, resamples: int | None = None, seed: int = 0) -> None:
        if not len(table):
            raise InputError("no image is left to judge by: hold out a larger share")
        self.table = table
        images = len(table)
        if resamples is None:
            resamples = AP_RESAMPLES if isinstance(table.counts, BoxMatches) else RESAMPLES
        shares = np.full(images, 1 / images)
        self._weights = np.random.default_rng(seed).multinomial(images, shares, size=resamples)
        self._cost, self._encoder_cost = table.costs / GIGA, table.encoder_costs / GIGA
        fixed = [np.full(images, place) for place in range(len(table.origin.exits))]
        self._fixed = [self._measure(choice) for choice in fixed]
        self._fixed_samples = [self._resample(choice) for choice in fixed]

    def fixed_exits(self) -> list[Point]:
        """A point for each exit, taken by all images."""
        return [
            self.point("fixed", f"exit {exit_}", np.full(len(self.table), place))
            for place, exit_ in enumerate(self.table.origin.exits)
        ]

    def point(
        self,
        kind: str,
        name: str,
        choice: np.ndarray,
        beta: float | None = None,
        max_layers: int | None = None,
    ) -> Point:
        """What a choice comes to: (N,) places in the exits."""
        cost, quality = self._measure(choice)
        costs, qualities = self._resample(choice)
        over = self._over_fixed(cost, quality, self._fixed)
        overs = [
            self._over_fixed(c, q, [(cs[i], qs[i]) for cs, qs in self._fixed_samples])
            for i, (c, q) in enumerate(zip(costs, qualities, strict=True))
        ]
        return Point(
            kind=kind,
            name=name,
            beta=beta,
            max_layers=max_layers,
            exits=self._histogram(choice),
            gmacs=cost,
            encoder_gmacs=float(_at(self._encoder_cost, choice).mean()),
            quality=100 * quality,
            interval=_interval(100 * qualities),
            mean_image_quality=100 * _mean(_at(self.table.quality, choice)),
            over_fixed=100 * over,
            over_fixed_interval=_interval(100 * np.array(overs)),
        )

    def mean_cost(self, choice: np.ndarray) -> float:
        """Of the whole model, in billions of multiply-accumulates."""
        return self._measure_cost(choice)

    def _histogram(self, choice: np.ndarray) -> dict[int, int]:
        exits = self.table.origin.exits
        numbers = np.bincount(choice, minlength=len(exits))
        return {exit_: int(number) for exit_, number in zip(exits, numbers, strict=True)}

    def _measure_cost(self, choice: np.ndarray) -> float:
        return float(_at(self._cost, choice).mean())

    def _measure(self, choice: np.ndarray) -> tuple[float, float]:
        """Mean cost, and quality in 0..1."""
        if self.table.counts is None:
            quality = _mean(_at(self.table.quality, choice))
        else:
            quality = self.table.counts.quality(choice)
        return self._measure_cost(choice), quality

    def _resample(self, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of every resample, two arrays of (S,)."""
        costs = self._weights @ _at(self._cost, choice) / len(choice)
        pieces = [
            self._qualities(choice, self._weights[start : start + AT_ONCE])
            for start in range(0, len(self._weights), AT_ONCE)
        ]
        return costs, np.concatenate(pieces)

    def _qualities(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.table.counts is None:
            values = _at(self.table.quality, choice)
            known = ~np.isnan(values)
            return weights[:, known] @ values[known] / np.maximum(weights[:, known].sum(1), 1)
        return self.table.counts.qualities(choice, weights)

    @staticmethod
    def _over_fixed(cost: float, quality: float, fixed: Sequence[tuple[float, float]]) -> float:
        return quality - float(np.interp(cost, *zip(*fixed, strict=True)))


def _at(values: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """Of each image (N, E) what it has at its choice, (N,)."""
    return np.take_along_axis(values, choice[:, None], axis=1)[:, 0]


def _mean(values: np.ndarray) -> float:
    """Of what is known."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _interval(samples: np.ndarray) -> Interval:
    """The middle 95% of what a bootstrap gave."""
    known = samples[~np.isnan(samples)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
