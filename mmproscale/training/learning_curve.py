"""Plot of loss and quality over one or several runs, from the numbers that mmengine logs."""

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

MAIN_FIGURES = ("PQ", "mIoU", "AP", "segm_mAP", "bbox_mAP")
"""Figures by which checkpoints are compared: the first of them that a run has."""
QUALITIES = (*MAIN_FIGURES, "PQ_th", "PQ_st")
"""Figures in the plot of one run."""


@dataclass
class LearningCurve:
    """Logged numbers of a run, each as iteration -> value, in the order of iterations.

    Attributes:
        loss: The training loss as logged, mmengine's mean over its window.
        quality: For each of ``QUALITIES`` that was logged: percent on the validation set.
    """

    loss: dict[int, float] = field(default_factory=dict)
    quality: dict[str, dict[int, float]] = field(default_factory=dict)

    @property
    def main(self) -> tuple[str, dict[int, float]]:
        """Name and values of the first main figure; an empty name if there is none."""
        name = next((name for name in MAIN_FIGURES if name in self.quality), "")
        return name, self.quality.get(name, {})

    @property
    def last_step(self) -> int:
        """Last iteration that has a loss or a figure."""
        return max(max(values, default=0) for values in (self.loss, *self.quality.values()))

    @property
    def best(self) -> tuple[int, float] | None:
        """Iteration and value of the main figure's highest value; None if there is none."""
        return max(self.main[1].items(), key=lambda entry: entry[1], default=None)


def read_learning_curve(work_dir: str | Path) -> LearningCurve:
    """Read all runs below ``work_dir``; where they overlap (after a resume), the later one counts.

    Raises:
        InputError: There is no ``*/vis_data/scalars.json``, or no figure in it.
    """
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    curve = LearningCurve()
    for path in files:
        _add_run(curve, path)
    if not (curve.loss or curve.quality):
        raise InputError(f"no training log in {work_dir}: expected */vis_data/scalars.json in it")
    curve.loss = dict(sorted(curve.loss.items()))
    curve.quality = {name: dict(sorted(v.items())) for name, v in curve.quality.items() if v}
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
                curve.quality.setdefault(name, {})[step] = value


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


def draw_learning_curve(work_dirs: str | Path | Sequence[str | Path], out: str | Path) -> Path:
    """Draw loss and quality over iterations to a PNG; return its path.

    Args:
        work_dirs: Folder of a run; several are drawn into one plot, each with its main figure.
        out: The PNG.

    Raises:
        InputError: A folder has no log, or ``out`` can't be written.
    """
    folders = [work_dirs] if isinstance(work_dirs, (str, Path)) else work_dirs
    names = [Path(folder).name for folder in folders]
    names = names if len(set(names)) == len(names) else list(map(str, folders))
    curves = dict(zip(names, map(read_learning_curve, folders), strict=True))
    figure = Figure(figsize=(10, 4), dpi=120)
    FigureCanvasAgg(figure)
    # Fixed margins: a layout that is computed doubles the time, which each validation takes.
    margins = dict(left=0.07, right=0.98, bottom=0.13, top=0.91, wspace=0.18)
    loss_axes, quality_axes = figure.subplots(1, 2, gridspec_kw=margins)
    if len(curves) == 1:
        (curve,) = curves.values()
        _draw_loss(loss_axes, {"smoothed": curve.loss})
        loss_axes.plot(*_points(curve.loss), "tab:blue", alpha=0.3, linewidth=1, label="as logged")
        _draw_quality(quality_axes, curve.quality, curve.last_step)
    else:
        _draw_loss(loss_axes, {name: curve.loss for name, curve in curves.items()})
        mains = {f"{name}, {c.main[0]}": c.main[1] for name, c in curves.items() if c.main[1]}
        _draw_quality(quality_axes, mains, max(curve.last_step for curve in curves.values()))
    loss_axes.legend()
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png")
    return Path(out)


def _points(values: dict[int, float]) -> tuple[list[int], list[float]]:
    return list(values), list(values.values())


def _draw_loss(axes: Axes, losses: dict[str, dict[int, float]]) -> None:
    for label, values in losses.items():
        axes.plot(list(values), smooth(list(values.values())), linewidth=2, label=label)
    axes.set(xlabel="iteration", ylabel="loss", title="training loss")
    axes.grid(alpha=0.3)


def _draw_quality(axes: Axes, qualities: dict[str, dict[int, float]], last: int) -> None:
    highest = max((max(values.values()) for values in qualities.values()), default=0.0)
    axes.set(xlabel="iteration", ylabel="percent", title="quality (validation)")
    axes.set(xlim=(0, last * 1.05), ylim=(0, min(100, max(1, 1.2 * highest))))
    axes.grid(alpha=0.3)
    for name, values in qualities.items():
        label = f"{name}: {list(values.values())[-1]:.1f}"
        axes.plot(*_points(values), marker="o", label=label)
    if qualities:
        axes.legend()
    else:
        axes.text(0.5, 0.5, "not evaluated yet", ha="center", transform=axes.transAxes)
