"""Draw cost against quality: fixed exits, gates and the oracle."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmproscale.early_exit.trade_off import Point
from mmproscale.utils.atomic_files import atomic_path

STYLES = {
    "fixed": dict(color="0.5", marker="s", label="one exit for all"),
    "gate": dict(color="tab:blue", marker="o", label="gate"),
    "checkpoint": dict(color="tab:red", marker="*", label="gate of the checkpoint"),
    "oracle": dict(color="tab:green", marker="^", label="oracle"),
}


def draw_trade_off(path: str | Path, points: Sequence[Point], quality: str, title: str) -> Path:
    """Write a PNG; bars are the points' intervals.

    Args:
        path: The file.
        points: Of every kind; those of a kind and number of layers are joined.
        quality: Name of the vertical axis.
        title: Above it.

    Raises:
        InputError: The file can't be written.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for kind, layers in dict.fromkeys((point.kind, point.max_layers) for point in points):
        _draw_line(axes, [p for p in points if (p.kind, p.max_layers) == (kind, layers)])
    axes.set(title=title, xlabel="GFLOPs of the whole model, mean over images", ylabel=quality)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return Path(path)


def _draw_line(axes: Axes, points: Sequence[Point]) -> None:
    kind, layers = points[0].kind, points[0].max_layers
    style = dict(STYLES[kind])
    style["label"] += f", at most {layers} layers" if layers else ""
    points = sorted(points, key=lambda point: point.gmacs)
    costs, qualities = [p.gmacs for p in points], [p.quality for p in points]
    # A percentile interval need not hold the figure itself.
    below = [max(0.0, p.quality - p.interval[0]) for p in points]
    above = [max(0.0, p.interval[1] - p.quality) for p in points]
    axes.errorbar(costs, qualities, yerr=(below, above), lw=1, elinewidth=0.5, capsize=2, **style)
    for point in points:
        text = f" {point.beta:g}" if point.kind == "gate" else ""
        axes.annotate(text, (point.gmacs, point.quality), fontsize=7, va="top")
