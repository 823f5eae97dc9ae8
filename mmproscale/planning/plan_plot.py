"""Draw a plan: what encoders cost, how often they update each level, and the paper's figures."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmproscale.planning.planning import Candidate, Evidence
from mmproscale.planning.published import CONV
from mmproscale.utils.atomic_files import atomic_path

GREY, BLUE, RED = "0.6", "tab:blue", "tab:red"


def draw_plan(
    path: Path,
    candidates: Sequence[Candidate],
    on_frontier: Sequence[Candidate],
    chosen: Candidate,
    evidence: Evidence,
    price: Callable[[Candidate], float],
    budget: float,
    labels: tuple[str, str],
) -> Path:
    """Write a PNG.

    Args:
        path: The file.
        candidates: All of them, as dots: filled with LPE, hollow with the 3x3 convolution.
        on_frontier: Joined by a line.
        chosen: Circled.
        evidence: Rows of its own backbone are written beside their dots.
        price: What the horizontal axis shows.
        budget: A line, in the same unit.
        labels: Title, and name of the horizontal axis.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for candidate in candidates:
        face = "none" if candidate.pixel_embedding == CONV else GREY
        axes.plot(price(candidate), candidate.mean_updates, "o", c=GREY, mfc=face, ms=4)
    line = [(price(c), c.mean_updates) for c in on_frontier]
    axes.plot(*zip(*line, strict=True), "-", c=BLUE, lw=1, label="frontier")
    for candidate in candidates:
        row = evidence.exact(candidate)
        if row is not None:
            place = price(candidate), candidate.mean_updates
            axes.plot(*place, "o", c=BLUE, ms=5)
            axes.annotate(f" {row.score:.1f}", place, fontsize=8, va="center")
    axes.plot(price(chosen), chosen.mean_updates, "o", c=RED, mfc="none", ms=12, label=chosen.name)
    axes.axvline(budget, c=RED, lw=1, ls="--", label="budget")
    axes.set(title=labels[0], xlabel=labels[1], ylabel="layers per level (geometric mean)")
    figure_of = "AP" if chosen.pixel_embedding is None else "PQ"
    title = f"numbers: {figure_of} on COCO, from the paper"
    axes.legend(title=title if evidence.rows else None)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return path
