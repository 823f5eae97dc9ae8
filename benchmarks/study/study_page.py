"""Page of a study: tables and plots of its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmproscale.planning.published import COCO, PUBLISHED, Published
from mmproscale.utils.atomic_files import atomic_path, atomic_write_text
from mmproscale.utils.words import plural

HEADING = """\
# A study on real photographs

*Written by `python benchmarks/study`: do not edit, train again.*

Short trainings of the same model with different encoders, on {title}.
Each run has {steps:,} steps, and one CPU core or GPU. Quality is measured on the validation set
after the last step. A value with ± is the mean over seeds
and half of the distance between the lowest and the highest; other values are of one seed.
"""
QUALITIES = ("PQ", "PQ things", "PQ stuff", "mIoU", "AP")
PAPER_BACKBONE = "swin-t"


def write_page(results: Mapping[str, Any], page: Path) -> None:
    """Write the page as Markdown, with its plots in ``images/`` next to it."""
    images = page.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    draw_frontier(results, images / "study_frontier.png")
    draw_curves(results, images / "study_curves.png")
    lines = [HEADING.format(**results), *quality_table(results), ""]
    if results["missing"]:
        lines += [f"Not trained yet: {', '.join(results['missing'])}.", ""]
    lines += ["## What the paper says", "", *claims_table(results), ""]
    lines += ["![PQ against cost](images/study_frontier.png)", ""]
    lines += ["![PQ while training](images/study_curves.png)", ""]
    lines += ["## Latency", "", *latency_table(results), ""]
    lines += ["## Runs", "", *runs_table(results), ""]
    atomic_write_text(page, "\n".join(lines))


def quality_table(results: Mapping[str, Any]) -> list[str]:
    """Return quality and cost of each model, as a table in Markdown."""
    rows = [["encoder", "seeds", *QUALITIES, "GMACs", "of the pixel decoder"]]
    for name, model in results["models"].items():
        runs = runs_of_model(results, name)
        cells = [spread([run["quality"][quality] for run in runs]) for quality in QUALITIES]
        gmacs = [f"{model['gmacs']:.2f}", f"{model['pixel_decoder_gmacs']:.2f}"]
        rows.append([model["label"], str(len(runs)), *cells, *gmacs])
    return table(rows)


def claims_table(results: Mapping[str, Any]) -> list[str]:
    """Return what the paper says of pairs of models, and whether it holds here.

    A difference counts where it is more than the largest distance between two seeds of one model.
    """
    scores = {name: pq_of(results, name) for name in results["models"]}
    noise = max(max(values) - min(values) for values in scores.values())
    rows = [["the PRO-SCALE paper says", "PQ there", "PQ here", "here"]]
    for claim in results["claims"]:
        if scores.keys() >= set(claim["models"]):
            first, second = (fmean(scores[name]) for name in claim["models"])
            found = verdict(claim["expected"], first - second, noise)
            rows.append([claim["says"], claim["paper"], f"{first - second:+.1f}", found])
    sentence = f"Seeds of one model differ by up to {noise:.1f} PQ."
    return [
        sentence if noise else "No model has been trained with two seeds yet.",
        "",
        *table(rows),
    ]


def verdict(expected: str, difference: float, noise: float) -> str:
    """Tell whether the difference of two models is as expected: ``as good``, better or worse.

    A difference of no more than ``noise`` may be due to the seeds.
    """
    if not noise:
        return "not known: no model has two seeds"
    if abs(difference) <= noise:
        return "no difference beyond the seeds'"
    if expected == "as good":
        return "better" if difference > 0 else "does not hold"
    return "holds" if (difference > 0) == (expected == "better") else "does not hold"


def latency_table(results: Mapping[str, Any]) -> list[str]:
    """Return the latency of each model and its ratio to the first one's."""
    latency = results["latency"]
    where = latency["environment"]
    rows = [["encoder", "ms", "ratio", "quartiles"]]
    for candidate in latency["candidates"]:
        whole = candidate["parts"]["whole"]
        quartiles = " to ".join(f"{value:.2f}" for value in whole["ratio"]["quartiles"])
        rows.append(
            [
                candidate["name"],
                f"{whole['ms']['median']:.0f}",
                f"{whole['ratio']['median']:.2f}",
                quartiles,
            ]
        )
    return [
        f"One image of {latency['name']}, random weights; {where['machine']}; "
        f"torch {where['torch']}; {plural(latency['rounds'], 'round')}; {where['date']}.",
        "",
        *table(rows),
    ]


def runs_table(results: Mapping[str, Any]) -> list[str]:
    """Return what each run was, and PQ at each of its validations."""
    rows = [["encoder", "seed", "PQ at each validation", "s per step", "environment"]]
    for run in results["runs"]:
        where = run["environment"]
        rows.append(
            [
                run["label"],
                str(run["seed"]),
                ", ".join(f"{value:.1f}" for value in run["curve"]["PQ"].values()),
                f"{run['seconds_per_step']:.2f}",
                f"{where['machine']}; torch {where['torch']}; {where['date']}",
            ]
        )
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as a table in Markdown; the first one is the heading."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def pq_of(results: Mapping[str, Any], name: str) -> list[float]:
    return [run["quality"]["PQ"] for run in runs_of_model(results, name)]


def runs_of_model(results: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [run for run in results["runs"] if run["model"] == name]


def spread(values: Sequence[float]) -> str:
    """Return the mean of values, and half of their range where there are several."""
    half = (max(values) - min(values)) / 2
    return f"{fmean(values):.1f}" + (f" ± {half:.1f}" if len(values) > 1 else "")


def draw_frontier(results: Mapping[str, Any], path: Path) -> None:
    """Draw PQ against cost of the study, next to the PRO-SCALE paper's on COCO."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    ours, paper = figure.subplots(1, 2)
    for index, (name, model) in enumerate(results["models"].items()):
        scores = pq_of(results, name)
        half = (max(scores) - min(scores)) / 2
        style = dict(fmt="o", c=f"C{index}", capsize=3, label=model["label"])
        ours.errorbar(model["gmacs"], fmean(scores), half or None, **style)
    ours.set(title=results["title"], xlabel="GMACs of the model", ylabel="PQ")
    ours.legend(fontsize=8, loc="lower right")
    rows = [
        row
        for row in PUBLISHED
        if (row.dataset, row.backbone, row.table) == (COCO, PAPER_BACKBONE, "1")
    ]
    for index, row in enumerate(sorted(rows, key=lambda row: row.total)):
        paper.plot(row.total, row.pq, "o", c="0.4")
        label_dot(paper, (row.total, row.pq), paper_label(row), below=index % 2 == 1)
    paper.set(
        title="PRO-SCALE paper, Table 1: COCO, Swin-T", xlabel="GFLOPs of the model", ylabel="PQ"
    )
    for axes in (ours, paper):
        axes.margins(0.25)
        axes.grid(alpha=0.3)
    save(figure, path)


def paper_label(row: Published) -> str:
    return "RT-M2F" if row.schedule is None else row.schedule.name


def label_dot(axes: Axes, place: tuple[float, float], text: str, below: bool = False) -> None:
    axes.annotate(
        text, place, xytext=(6, -11 if below else 4), textcoords="offset points", fontsize=8
    )


def draw_curves(results: Mapping[str, Any], path: Path) -> None:
    """Draw PQ on the validation set while training, a colour a model and a line a seed."""
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, (name, model) in enumerate(results["models"].items()):
        for run in runs_of_model(results, name):
            pq = run["curve"]["PQ"]
            label = model["label"] if run is runs_of_model(results, name)[0] else None
            steps = [int(step) for step in pq]
            axes.plot(steps, list(pq.values()), "o-", c=f"C{index}", ms=3, label=label)
    axes.set(title=results["title"], xlabel="training step", ylabel="PQ on the validation set")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
