"""Plot of a plan: price of each encoder, updates of its levels, the paper's figures."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmproscale.planning.candidates import Candidate
from mmproscale.planning.published import CONV, LPE
from mmproscale.planning.ranking import PaperRanking
from mmproscale.utils.atomic_files import atomic_path

UPDATES = "layers that update a level (geometric mean over levels)"
GREY, BLUE, RED = "0.6", "tab:blue", "tab:red"
# Pixel embedding, face of its dots, and their label.
DOTS = (
    (LPE, GREY, "encoder with light pixel embedding"),
    (CONV, "none", "encoder with 3x3 convolution"),
    (None, GREY, "encoder"),
)


def draw_plan(
    path: Path,
    candidates: Sequence[Candidate],
    on_frontier: Sequence[Candidate],
    chosen: Candidate,
    ranking: PaperRanking,
    price: Callable[[Candidate], float],
    budget: float,
    labels: tuple[str, str],
) -> Path:
    """Write a PNG and return its path.

    Args:
        path: The file.
        candidates: All candidates, drawn as dots: filled with LPE, hollow with the 3x3 convolution.
        on_frontier: Candidates that a line joins.
        chosen: Candidate that is circled.
        ranking: Ranking whose rows of the same backbone are written next to their dots.
        price: Function that gives a candidate's place on the horizontal axis.
        budget: Place of the vertical line, in the unit of ``price``.
        labels: Title, and name of the horizontal axis.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for embedding, face, label in DOTS:
        group = [c for c in candidates if c.pixel_embedding == embedding]
        if group:
            places = zip(*((price(c), c.mean_updates) for c in group), strict=True)
            axes.plot(*places, "o", c=GREY, mfc=face, ms=4, label=label)
    line = [(price(c), c.mean_updates) for c in on_frontier]
    axes.plot(*zip(*line, strict=True), "-", c=BLUE, lw=1, label="frontier")
    for candidate in candidates:
        row = ranking.row_of(candidate)
        if row is not None:
            place = price(candidate), candidate.mean_updates
            axes.plot(*place, "o", c=BLUE, ms=5)
            axes.annotate(f" {row.score:.1f}", place, fontsize=8, va="center")
    axes.plot(price(chosen), chosen.mean_updates, "o", c=RED, mfc="none", ms=12, label=chosen.name)
    axes.axvline(budget, c=RED, lw=1, ls="--", label="budget")
    axes.set(title=labels[0], xlabel=labels[1], ylabel=UPDATES)
    score = "AP" if chosen.pixel_embedding is None else "PQ"
    numbers = f"numbers at blue dots: {score} on COCO, from the paper" if ranking.rows else None
    axes.legend(title=numbers, fontsize=8, title_fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return path
