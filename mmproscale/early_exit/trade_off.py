"""Trade-off of cost and quality for any choice of exits, as points, table, JSON and plot.

There are three kinds of choices: one exit for all images, a gate's choice, and that of an oracle,
which knows each image's target. They are judged by images that no gate was fitted to. Costs are
exact; a bootstrap over images estimates the sampling error of the quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.early_exit.dataset_quality import BoxMatches
from mmproscale.early_exit.derived_table import DerivedTable, Origin
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path

RESAMPLES, AP_RESAMPLES, CHUNK = 1000, 200, 100
"""Bootstrap resamples, fewer for AP, which goes through all detections; resamples at a time."""
CONFIDENCE = 0.95
GIGA = 1e9

STYLES: dict[str, dict[str, Any]] = {
    "fixed": dict(color="0.5", marker="s", label="one exit for all"),
    "gate": dict(color="tab:blue", marker="o", label="gate"),
    "checkpoint": dict(color="tab:red", marker="*", label="gate of the checkpoint"),
    "oracle": dict(color="tab:green", marker="^", label="oracle"),
}

Interval = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """Cost and quality of one choice of exits.

    Args:
        kind: ``fixed``, ``gate``, ``oracle`` or ``checkpoint``.
        name: Name of the choice, unique in a curve.
        beta: Beta of a gate or an oracle.
        max_layers: Exits after more layers are closed; None if all are open.
        exits: Exit -> number of images that take it.
        gmacs: Mean cost over images of the whole model as run, in 10^9 multiply-accumulates.
        encoder_gmacs: Mean cost of the encoder's layers.
        quality: The dataset's quality in percent.
        interval: Bootstrap interval of ``quality``.
        mean_image_quality: Mean of the images' own qualities in percent.
        over_fixed: ``quality`` minus the quality of fixed exits at the same cost, interpolated
            linearly.
        over_fixed_interval: Bootstrap interval of ``over_fixed``.
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


class TradeOff:
    """Judge of choices of exits by some images.

    Args:
        table: The images.
        resamples: Number of bootstrap resamples; by default ``RESAMPLES``, for AP ``AP_RESAMPLES``.
        seed: Seed of the bootstrap.

    Raises:
        InputError: There are no images.
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
        fixed = [np.full(images, index) for index in range(len(table.origin.exits))]
        # Costs and qualities of fixed exits: (E, 2), and of each resample (S, E, 2).
        self._fixed = np.array([self._measure(choice) for choice in fixed])
        self._fixed_samples = np.stack([self._resample(choice) for choice in fixed], axis=1)

    def fixed_exits(self) -> list[Point]:
        """Return a point for each exit, taken by all images."""
        return [
            self.point("fixed", f"exit {exit_}", np.full(len(self.table), index))
            for index, exit_ in enumerate(self.table.origin.exits)
        ]

    def point(
        self,
        kind: str,
        name: str,
        choice: np.ndarray,
        beta: float | None = None,
        max_layers: int | None = None,
    ) -> Point:
        """Return the point of a choice: (N,) indices of exits. ``Point`` explains the rest."""
        cost, quality = self._measure(choice)
        samples = self._resample(choice)
        over_fixed = [
            _over_fixed(c, q, fixed)
            for (c, q), fixed in zip(samples, self._fixed_samples, strict=True)
        ]
        exits = self.table.origin.exits
        numbers = np.bincount(choice, minlength=len(exits)).tolist()
        return Point(
            kind=kind,
            name=name,
            beta=beta,
            max_layers=max_layers,
            exits=dict(zip(exits, numbers, strict=True)),
            gmacs=cost,
            encoder_gmacs=float(_chosen(self._encoder_cost, choice).mean()),
            quality=100 * quality,
            interval=_interval(100 * samples[:, 1]),
            mean_image_quality=100 * _mean_of_known(_chosen(self.table.quality, choice)),
            over_fixed=100 * _over_fixed(cost, quality, self._fixed),
            over_fixed_interval=_interval(100 * np.array(over_fixed)),
        )

    def mean_cost(self, choice: np.ndarray) -> float:
        """Return the mean cost of the whole model, in 10^9 multiply-accumulates."""
        return float(_chosen(self._cost, choice).mean())

    def _measure(self, choice: np.ndarray) -> tuple[float, float]:
        """Return mean cost, and quality in 0..1."""
        return self.mean_cost(choice), self.table.counts.quality(choice)

    def _resample(self, choice: np.ndarray) -> np.ndarray:
        """Return mean cost and quality of every resample, (S, 2)."""
        costs = self._weights @ _chosen(self._cost, choice) / len(choice)
        # In chunks, which bounds the memory.
        qualities = [
            self.table.counts.qualities(choice, self._weights[start : start + CHUNK])
            for start in range(0, len(self._weights), CHUNK)
        ]
        return np.stack([costs, np.concatenate(qualities)], axis=1)


def trade_off_rows(points: Sequence[Point], origin: Origin) -> list[list[str]]:
    """Return a heading and a row for each point."""
    name = origin.quality.upper()
    heading = ["", "GFLOPs", f"{name} ({CONFIDENCE:.0%})", f"mean image {name}"]
    exits = "/".join(str(exit_) for exit_ in origin.exits)
    rows = [[*heading, "over fixed exits", f"images at {exits}"]]
    for point in points:
        over_fixed = f"{point.over_fixed:+.2f} {_between(point.over_fixed_interval, sign='+')}"
        rows.append(
            [
                point.name,
                f"{point.gmacs:.2f}",
                f"{point.quality:.2f} {_between(point.interval)}",
                f"{point.mean_image_quality:.2f}",
                "" if point.kind == "fixed" else over_fixed,
                "/".join(str(number) for number in point.exits.values()),
            ]
        )
    return rows


def trade_off_json(
    points: Sequence[Point], origin: Origin, fitted: int, judged: int
) -> dict[str, Any]:
    """Return the points for JSON, with the numbers of images fitted to and judged by.

    Qualities and their differences are in 0..1, as in all JSON files.
    """
    return dict(
        config=origin.config,
        fingerprint=origin.fingerprint,
        quality=origin.quality,
        quality_is_of="dataset",
        schedule=origin.schedule,
        exits=list(origin.exits),
        images_fitted_to=fitted,
        images_judged_by=judged,
        points=[asdict(point) | _shares(point) for point in points],
    )


def _shares(point: Point) -> dict[str, Any]:
    """Return a point's figures in percent as shares."""
    names = ("quality", "interval", "mean_image_quality", "over_fixed", "over_fixed_interval")
    return {name: (np.array(getattr(point, name)) / 100).tolist() for name in names}


def draw_trade_off(path: str | Path, points: Sequence[Point], quality: str, title: str) -> Path:
    """Write a PNG of the points, with their intervals as bars.

    Args:
        path: The file.
        points: Points of the same kind and number of layers are joined by a line.
        quality: Name of the vertical axis.
        title: Title above the plot.

    Raises:
        InputError: The file can't be written.
    """
    # Tables and JSON need no matplotlib, which is slow to import.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line in dict.fromkeys((point.kind, point.max_layers) for point in points):
        _draw_line(axes, [p for p in points if (p.kind, p.max_layers) == line])
    axes.set(title=title, xlabel="GFLOPs of the whole model, mean over images", ylabel=quality)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return Path(path)


def _draw_line(axes: Any, points: Sequence[Point]) -> None:
    style, layers = dict(STYLES[points[0].kind]), points[0].max_layers
    style["label"] += f", at most {layers} layers" if layers else ""
    points = sorted(points, key=lambda point: point.gmacs)
    costs, qualities = [p.gmacs for p in points], [p.quality for p in points]
    # A percentile interval need not contain the estimate itself.
    below = [max(0.0, p.quality - p.interval[0]) for p in points]
    above = [max(0.0, p.interval[1] - p.quality) for p in points]
    axes.errorbar(costs, qualities, yerr=(below, above), lw=1, elinewidth=0.5, capsize=2, **style)
    for point in points:
        text = f" {point.beta:g}" if point.kind == "gate" else ""
        axes.annotate(text, (point.gmacs, point.quality), fontsize=7, va="top")


def _chosen(values: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """Return each image's value at its exit, (N,), of values (N, E) at every exit."""
    return np.take_along_axis(values, choice[:, None], axis=1)[:, 0]


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _over_fixed(cost: float, quality: float, fixed: np.ndarray) -> float:
    """Return quality minus the quality of fixed exits (E, 2) at the same cost."""
    return quality - float(np.interp(cost, fixed[:, 0], fixed[:, 1]))


def _interval(samples: np.ndarray) -> Interval:
    """Return the middle 95% of bootstrap samples."""
    known = samples[~np.isnan(samples)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _between(interval: Interval, sign: str = "") -> str:
    low, high = interval
    return f"({low:{sign}.1f},{high:{sign}.1f})"  # without a space, at which tables fold
