"""Plots of figures for papers and reports, each written to one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmproscale.datasets.formats.colors import class_colors
from mmproscale.errors import InputError
from mmproscale.evaluation.segment_outcomes import LOST
from mmproscale.reports.inside_model import Prototypes
from mmproscale.utils.atomic_files import atomic_path

FORMS = ("png", "pdf", "svg", "jpg")


def new_figure(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    """Return a figure of this size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**grid)


def form_of(path: Path) -> str:
    """Return the form that a file's ending names.

    Raises:
        InputError: Another one than ``FORMS``.
    """
    form = path.suffix.removeprefix(".")
    if form not in FORMS:
        raise InputError(f"{path} must end in one of .{', .'.join(FORMS)}")
    return form


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as the file's ending says.

    Raises:
        InputError: An unknown ending.
    """
    form = form_of(Path(path))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=form, dpi=150)
    return Path(path)


def draw_compute(path: str | Path, models: Mapping[str, Mapping[str, float]]) -> Path:
    """Draw the cost of each model by part, in GMACs (PRO-SCALE, Figure 1b).

    Args:
        path: The file.
        models: Name -> part -> GMACs, in the order of computation.
    """
    names = list(dict.fromkeys(part for costs in models.values() for part in costs))
    largest = max(sum(costs.values()) for costs in models.values())
    figure, axes = new_figure(9, 1.6 + 0.6 * len(models))
    colors = matplotlib.colormaps["tab20"](range(len(names)))
    for row, costs in enumerate(models.values()):
        left, total = 0.0, sum(costs.values())
        for part, color in zip(names, colors, strict=False):
            gmacs = costs.get(part, 0.0)
            axes.barh(row, gmacs, left=left, color=color, label=part if row == 0 else None)
            if gmacs > 0.08 * largest:
                place = left + gmacs / 2, row
                axes.annotate(f"{gmacs / total:.0%}", place, ha="center", va="center", fontsize=8)
            left += gmacs
        axes.annotate(f" {total:.1f}", (left, row), va="center", fontsize=8)
    axes.set_yticks(range(len(models)), list(models))
    axes.invert_yaxis()
    axes.set(xlabel="GMACs of one image", xlim=(0, 1.1 * largest))
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return save(figure, path)


def draw_similarity(path: str | Path, similarity: Mapping[int, np.ndarray], images: int) -> Path:
    """Draw the similarity of tokens against their distance, a line a level (Figure F1)."""
    figure, axes = new_figure(6, 4)
    for stride, values in sorted(similarity.items(), reverse=True):
        axes.plot(np.arange(1, len(values) + 1), values, label=f"stride {stride}")
    axes.set(
        xlabel="distance of two tokens of a level",
        ylabel="mean cosine similarity",
        title=f"Redundancy of tokens before the encoder, {images} images",
    )
    axes.legend()
    axes.grid(alpha=0.3)
    return save(figure, path)


def draw_gates(path: str | Path, image: np.ndarray, gates: Mapping[int, np.ndarray]) -> Path:
    """Draw TRC's gate of each level over an image (H, W, 3) (PRO-SCALE, Figure F2)."""
    figure, axes = new_figure(4 * (len(gates) + 1), 3.6, ncols=len(gates) + 1)
    height, width = image.shape[:2]
    show(axes[0], image, "image")
    low, high = min(g.min() for g in gates.values()), max(g.max() for g in gates.values())
    for ax, (stride, gate) in zip(axes[1:], sorted(gates.items()), strict=True):
        show(ax, image, f"gate at stride {stride}")
        extent = (0, width, height, 0)
        drawn = ax.imshow(gate, cmap="magma", alpha=0.7, extent=extent, vmin=low, vmax=high)
    figure.colorbar(drawn, ax=axes[1:].tolist(), label="gate, 0 to 1", shrink=0.8)
    return save(figure, path)


def draw_exits(
    path: str | Path,
    exits: Sequence[int],
    known: Sequence[int],
    examples: Mapping[int, np.ndarray],
) -> Path:
    """Draw how many images take each exit, with an example of each (ECO-M2F, Figure 2).

    Args:
        path: The file.
        exits: Exit of each image.
        known: Exits that the model has.
        examples: Exit -> an image (H, W, 3) that takes it.
    """
    figure = Figure(figsize=(max(6.0, 1.8 * len(known)), 5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, len(known), height_ratios=(2, 1))
    axes = figure.add_subplot(grid[0, :])
    counts = [sum(one == exit_ for one in exits) for exit_ in known]
    bars = axes.bar(range(len(known)), counts, color="tab:blue")
    axes.bar_label(bars, [f"{count} ({count / len(exits):.0%})" for count in counts], fontsize=8)
    axes.set_xticks(range(len(known)), [f"{exit_} layers" for exit_ in known])
    axes.set(ylabel="images", title=f"Exits of {len(exits)} images")
    axes.margins(y=0.12)
    for column, exit_ in enumerate(known):
        ax = figure.add_subplot(grid[1, column])
        ax.axis("off")
        if exit_ in examples:
            show(ax, examples[exit_], f"exit after {exit_}")
    return save(figure, path)


def draw_prototypes(
    path: str | Path,
    image: np.ndarray,
    prototypes: Sequence[Prototypes],
    classes: Sequence[str],
) -> Path:
    """Draw the masks of queries and the tokens that PEM picks for them.

    Args:
        path: The file.
        image: (H, W, 3).
        prototypes: Of each query.
        classes: Names of the classes.
    """
    figure, axes = new_figure(4 * len(prototypes), 3.8, ncols=len(prototypes), squeeze=False)
    height, width = image.shape[:2]
    for ax, one in zip(axes[0], prototypes, strict=True):
        show(ax, image, f"{classes[one.label]}, {one.score:.2f}")
        extent = (0, width, height, 0)
        ax.imshow(one.mask, cmap="Blues", alpha=0.5, extent=extent, vmin=0, vmax=1)
        x, y = (one.points * (width, height)).T
        ax.plot(x, y, "o", c="tab:red", mec="white", ms=7, label="prototype of a head")
        ax.set(xlim=(0, width), ylim=(height, 0))
    axes[0, 0].legend(fontsize=7)
    return save(figure, path)


def draw_confusion(
    path: str | Path, matrix: np.ndarray, categories: Sequence[Mapping[str, Any]]
) -> Path:
    """Draw a confusion matrix of segments, each row in percent of its true segments."""
    size = len(categories)
    used = [n for n in range(size) if matrix[n].any() or matrix[:, n].any()]
    names = [categories[n]["name"] for n in used]
    rows, columns = [*used, size], [*used, *range(size, size + len(LOST))]
    counts = matrix[np.ix_(rows, columns)]
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.5 + 0.42 * len(columns)
    figure, axes = new_figure(side + 1, side)
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(columns)), [*names, *LOST], rotation=90)
    axes.set_yticks(range(len(rows)), [*names, "extra"])
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[row, column] > 60 else "black"
        text = f"{shares[row, column]:.0f}"
        axes.annotate(text, (column, row), ha="center", va="center", fontsize=7, color=color)
    axes.set(xlabel="predicted", ylabel="true segments")
    figure.colorbar(drawn, label="percent of the row", shrink=0.8)
    return save(figure, path)


def draw_classes(
    path: str | Path,
    quality: Mapping[str, Any],
    sizes: Mapping[str, float],
    categories: Sequence[dict[str, Any]],
) -> Path:
    """Draw PQ of each class, and of things by size.

    Args:
        path: The file.
        quality: As ``panoptic_quality``.
        sizes: As ``quality_by_size``.
        categories: In the order of labels.
    """
    found = [(quality["per_class"][str(c["id"])]["pq"], c) for c in categories]
    found.sort(key=lambda one: one[0])
    figure, (left, right) = new_figure(10, 1.5 + 0.22 * len(found), ncols=2, width_ratios=(2.5, 1))
    colors = class_colors(categories)
    rgb = [tuple(v / 255 for v in colors[c["id"]]) for _, c in found]
    bars = left.barh([c["name"] for _, c in found], [100 * pq for pq, _ in found], color=rgb)
    left.bar_label(bars, fmt=" %.1f", fontsize=7)
    left.tick_params(axis="y", labelsize=min(9, max(5, 400 / len(found))))
    left.set(xlabel="PQ, percent", title=f"PQ {100 * quality['all']['pq']:.1f}", xlim=(0, 108))
    right.bar(list(sizes), [np.nan_to_num(100 * pq) for pq in sizes.values()], color="tab:blue")
    for place, pq in enumerate(sizes.values()):
        text = "none" if np.isnan(pq) else f"{100 * pq:.1f}"
        right.annotate(text, (place, np.nan_to_num(100 * pq)), ha="center", va="bottom", fontsize=8)
    right.set(ylabel="PQ, percent", title="things by size", ylim=(0, 108))
    return save(figure, path)


def draw_frontier(
    path: str | Path, points: Mapping[str, tuple[float, float]], quality: str
) -> Path:
    """Draw quality in percent against GMACs, with the frontier.

    Args:
        path: The file.
        points: Name -> (GMACs, quality).
        quality: Name of the quality.
    """
    figure, axes = new_figure(7, 4.5)
    best = -np.inf
    line: list[tuple[float, float]] = []
    for place in sorted(points.values()):
        if place[1] > best:
            best, line = place[1], [*line, place]
    axes.plot(*zip(*line, strict=True), "--", c="0.6", lw=1, label="frontier")
    costs = [cost for cost, _ in points.values()]
    for index, (name, place) in enumerate(points.items()):
        axes.plot(*place, "o", c=f"C{index % 10}")
        side = 1 if 2 * place[0] <= min(costs) + max(costs) else -1  # names stay inside
        axes.annotate(
            name,
            place,
            xytext=(6 * side, 4),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            fontsize=8,
        )
    axes.margins(0.2)
    axes.set(xlabel="GMACs of one image", ylabel=f"{quality}, percent")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return save(figure, path)


def draw_errors(path: str | Path, models: Mapping[str, Mapping[str, Any]]) -> Path:
    """Draw what each kind of error costs in AP (TIDE), a group of bars a kind.

    Args:
        path: The file.
        models: Name -> result of ``tide_errors``.
    """
    kinds = {"Cls": "class", "Loc": "place", "Both": "both", "Dupe": "twice", "Bkg": "background"}
    kinds["Miss"] = "missed"
    figure, axes = new_figure(8, 4)
    width = 0.8 / len(models)
    for index, (name, errors) in enumerate(models.items()):
        values = [100 * errors["delta_ap"][kind] for kind in kinds]
        places = np.arange(len(kinds)) + (index - (len(models) - 1) / 2) * width
        bars = axes.bar(places, values, width, label=f"{name}, AP50 {100 * errors['ap_base']:.1f}")
        axes.bar_label(bars, fmt="%.1f", fontsize=7)
    axes.set_xticks(range(len(kinds)), list(kinds.values()))
    axes.margins(y=0.12)
    axes.set(ylabel="AP50 gained without this error, percent points", title="Errors by kind")
    axes.legend(fontsize=8)
    return save(figure, path)


def show(axes: Axes, image: np.ndarray, title: str) -> None:
    """Show an image (H, W, 3) without ticks."""
    axes.imshow(image)
    axes.set_title(title, fontsize=9)
    axes.axis("off")
