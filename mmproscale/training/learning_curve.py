"""Plot of loss and panoptic quality over a run, from the numbers that mmengine logs."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path

QUALITIES = {"PQ": "all", "PQ_th": "things", "PQ_st": "stuff"}
"""Figures in the plot, and their names in its legend."""


@dataclass
class LearningCurve:
    """Logged numbers of a run, each as iteration -> value, in the order of iterations.

    Attributes:
        loss: The training loss as logged, mmengine's mean over its window.
        quality: For each of ``PQ``, ``PQ_th``, ``PQ_st``: percent on the validation set.
    """

    loss: dict[int, float] = field(default_factory=dict)
    quality: dict[str, dict[int, float]] = field(default_factory=dict)


def read_learning_curve(work_dir: str | Path) -> LearningCurve:
    """Read all runs below ``work_dir``; where they overlap (after a resume), the later one counts.

    Raises:
        InputError: There is no ``*/vis_data/scalars.json``, or no loss in it.
    """
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    curve = LearningCurve(quality={name: {} for name in QUALITIES})
    for path in files:
        _add_run(curve, path)
    if not curve.loss:
        raise InputError(f"no training log in {work_dir}: expected */vis_data/scalars.json in it")
    curve.loss = dict(sorted(curve.loss.items()))
    curve.quality = {name: dict(sorted(v.items())) for name, v in curve.quality.items()}
    return curve


def _add_run(curve: LearningCurve, path: Path) -> None:
    """Add the lines of one file; a last line that a kill cut short is left out."""
    iteration = 0
    first = True
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if "loss" in record:
            iteration = int(record.get("iter", record["step"]))
            if first:
                _drop_from(curve, iteration)
                first = False
            curve.loss[iteration] = record["loss"]
            continue
        # mmengine counts validations in epochs by default; lines are in order of time.
        step = max(iteration, int(record.get("step", 0)))
        for name in QUALITIES:
            value = _figure(record, name)
            if value is not None and not math.isnan(value):
                curve.quality[name][step] = value


def _figure(record: dict, name: str) -> float | None:
    """Return a figure by its name without the metric's prefix, ours or stock mmdet's."""
    return next((v for key, v in record.items() if key.rpartition("/")[2] == name), None)


def _drop_from(curve: LearningCurve, iteration: int) -> None:
    """Drop an earlier run's values from an iteration on."""
    for values in (curve.loss, *curve.quality.values()):
        for later in [step for step in values if step >= iteration]:
            del values[later]


def smooth(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Return the exponential mean of a series, corrected for its start at zero."""
    smoothed, mean, total = [], 0.0, 0.0
    for value in values:
        if math.isfinite(value):
            mean = weight * mean + (1 - weight) * value
            total = weight * total + (1 - weight)
        smoothed.append(mean / total if total else math.nan)
    return smoothed


def draw_learning_curve(work_dir: str | Path, out: str | Path, title: str = "") -> Path:
    """Draw loss and panoptic quality over iterations to a PNG; return its path.

    Raises:
        InputError: No log below ``work_dir``, or ``out`` can't be written.
    """
    curve = read_learning_curve(work_dir)
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, quality_axes = figure.subplots(1, 2)
    _draw_loss(loss_axes, curve)
    _draw_quality(quality_axes, curve)
    if title:
        figure.suptitle(title)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png")
    return Path(out)


def _draw_loss(axes: Axes, curve: LearningCurve) -> None:
    steps, losses = list(curve.loss), list(curve.loss.values())
    axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=1, label="as logged")
    axes.plot(steps, smooth(losses), color="tab:blue", linewidth=2, label="smoothed")
    axes.set(xlabel="iteration", ylabel="loss", title="training loss")
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_quality(axes: Axes, curve: LearningCurve) -> None:
    axes.set(xlabel="iteration", ylabel="percent", title="panoptic quality (validation)")
    axes.set(xlim=(0, max(curve.loss) * 1.05), ylim=(0, 100))
    axes.grid(alpha=0.3)
    drawn = {name: values for name, values in curve.quality.items() if values}
    for name, values in drawn.items():
        last = list(values.values())[-1]
        label = f"{name} ({QUALITIES[name]}): {last:.1f}"
        axes.plot(list(values), list(values.values()), marker="o", label=label)
    if drawn:
        axes.legend()
    else:
        axes.text(0.5, 0.5, "not evaluated yet", ha="center", transform=axes.transAxes)
