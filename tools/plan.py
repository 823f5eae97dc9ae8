"""Which encoder for a budget: those worth a look, the one to take, and its config.

Every PRO-SCALE (p1,p2,p3), M2F and Lite-M2F of so many layers, with LPE or the 3x3 convolution, is
priced: in GMACs of the papers' form (what papers call GFLOPs), or in milliseconds measured here.
The frontier holds, by rising price, what promises more than everything cheaper: first by the PQ
that the paper makes sure (its own figure, or that of an encoder of which this one has all and
more), then by layers per level. Figures marked 'paper' are the paper's, on COCO; none was measured
with this code. TRC goes with PRO-SCALE: it costs next to nothing, as average pooling in LPE's place
does. RT-M2F, which is no schedule and far behind in the paper, is left out.

With --framework dino, ddq or deformable-detr encoders are those of a detector over strides 64 to 8:
PRO-SCALE in four stages, and in three that begin with 64 and 32 together, the detector's own, and
Lite-DETR's. Of these the paper has two rows, of DINO (Table T1), so that the frontier is mostly,
and of the others alone, by layers per level.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import at_least, command_line
from mmproscale.cost.tables import terminal
from mmproscale.errors import InputError
from mmproscale.inference.predictor import choose_device
from mmproscale.planning.frameworks import FRAMEWORKS, Framework
from mmproscale.planning.plan_prices import priced_candidates, with_latency
from mmproscale.planning.planning import (
    Candidate,
    Evidence,
    base_config,
    config_text,
    frontier,
)
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.config import CONFIGS
from mmproscale.utils.progress import progress_bars


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--framework",
        choices=sorted(FRAMEWORKS),
        default="m2f",
        help="what the encoder is of: Mask2Former, or what detects; m2f if not given",
    )
    parser.add_argument("--backbone", required=True, help="as configs name it: swin-t, r50, ...")
    parser.add_argument(
        "--shape",
        nargs=2,
        type=at_least(1),
        default=(800, 1088),
        metavar=("H", "W"),
        help="of the image, before padding; 800 1088 if not given",
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--budget", type=positive, metavar="GFLOPS", help="of the whole model")
    budget.add_argument(
        "--latency",
        type=positive,
        metavar="MS",
        help="of one image, measured here for those on the frontier of GFLOPs",
    )
    parser.add_argument("--max-repeats", type=at_least(1), default=3, help="layers of a stage")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="for --latency")
    parser.add_argument("--rounds", type=at_least(1), default=5, help="for --latency: that count")
    parser.add_argument("--out", default="work_dirs/plan", help="folder of plot and config")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def positive(text: str) -> float:
    """A type for argparse: a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


@command_line
def main() -> None:
    args = parse_args()
    choose_device(args.device)
    framework = FRAMEWORKS[args.framework]
    base = base_config(CONFIGS, args.backbone, framework)
    out = ensure_writable_dir(args.out)
    shape, evidence = tuple(args.shape), Evidence.of(args.backbone, framework)
    candidates = list(priced_candidates(CONFIGS, args.backbone, shape, args.max_repeats, framework))
    worth_a_look = frontier(candidates, evidence, price=lambda one: one.macs)
    if args.latency is not None:
        candidates = measure_all(worth_a_look, base, args)
        worth_a_look = frontier(candidates, evidence, price=price_of(args))
    chosen = choose(worth_a_look, args)
    config = write_config(chosen, base, out, args)
    plot = write_plot(out, candidates, worth_a_look, chosen, evidence, args)
    rows = [describe(one, evidence, one is chosen) for one in worth_a_look]
    if args.json:
        files = dict(config=str(config), plot=str(plot))
        print(json.dumps(dict(frontier=rows, chosen=chosen.name, **files), indent=1))
        return
    Console().print(terminal(title(args, len(candidates)), table(rows, framework)))
    print(notes(args, evidence))
    print(f"chosen: {chosen.name}\nconfig: {config}\nplot:   {plot}")


def notes(args: argparse.Namespace, evidence: Evidence) -> str:
    """What is assumed, for those who read the table alone."""
    lines = [
        "paper: published on COCO, not measured here. At least: by the paper's row of an encoder",
        "of which this one has all and more, assuming that more does no harm.",
    ]
    if evidence.is_borrowed:
        other = FRAMEWORKS[args.framework].ordered_by.title()
        lines[1:] = [f"The paper has too few rows with {args.backbone}: the order is by {other}'s."]
    return "\n".join(lines)


def price_of(args: argparse.Namespace) -> Callable[[Candidate], float]:
    """What the budget is of: milliseconds, or GMACs."""
    if args.latency is not None:
        return lambda candidate: candidate.latency
    return lambda candidate: candidate.macs / 1e9


def budget_of(args: argparse.Namespace) -> tuple[float, str]:
    """The budget and its unit."""
    return (args.latency, "ms") if args.latency is not None else (args.budget, "GFLOPs")


def measure_all(
    candidates: list[Candidate], base: Path, args: argparse.Namespace
) -> list[Candidate]:
    """Candidates with their latency; nothing else should run beside it."""
    with progress_bars() as bars:
        task = bars.add_task("rounds", total=args.rounds + 1)
        return with_latency(
            candidates,
            base,
            tuple(args.shape),
            args.device,
            args.rounds,
            after_round=lambda: bars.advance(task),
        )


def choose(worth_a_look: list[Candidate], args: argparse.Namespace) -> Candidate:
    """The last on the frontier that is within the budget.

    Raises:
        InputError: Nothing is.
    """
    price, (budget, unit) = price_of(args), budget_of(args)
    fitting = [one for one in worth_a_look if price(one) <= budget]
    if not fitting:
        cheapest = worth_a_look[0]
        raise InputError(
            f"nothing fits {budget:g} {unit}: the cheapest, {cheapest.name}, takes "
            f"{price(cheapest):.1f}"
        )
    return fitting[-1]


def write_config(chosen: Candidate, base: Path, out: Path, args: argparse.Namespace) -> Path:
    """The chosen config, beside the plot, on top of one in configs/."""
    budget, unit = budget_of(args)
    height, width = args.shape
    comment = (
        f"{chosen.name}, chosen for {budget:g} {unit} at {height}x{width}: "
        f"{chosen.macs / 1e9:.1f} GMACs."
    )
    path = out / f"{chosen.file_stem}_{args.framework}_{args.backbone}_coco.py"
    relative = os.path.relpath(base.resolve(), out.resolve())
    atomic_write_text(path, config_text(chosen, relative, comment))
    return path


def write_plot(
    out: Path,
    candidates: list[Candidate],
    worth_a_look: list[Candidate],
    chosen: Candidate,
    evidence: Evidence,
    args: argparse.Namespace,
) -> Path:
    """The plot, beside the config."""
    from mmproscale.planning.plan_plot import draw_plan

    budget, unit = budget_of(args)
    labels = (title(args, len(candidates)), f"{unit} of the whole model, one image")
    price = price_of(args)
    path = out / f"{args.backbone}.png"
    return draw_plan(path, candidates, worth_a_look, chosen, evidence, price, budget, labels)


def title(args: argparse.Namespace, count: int) -> str:
    height, width = args.shape
    return f"{args.backbone}, one image of {height}x{width}: {count} encoders"


def describe(one: Candidate, evidence: Evidence, chosen: bool) -> dict[str, Any]:
    """One row of the frontier."""
    exact = evidence.exact(one)
    sure = None if evidence.is_borrowed else evidence.at_least(one)
    return dict(
        name=one.name,
        chosen=chosen,
        layers_per_level=dict(zip(map(str, one.schedule.strides), one.updates, strict=True)),
        gmacs=one.macs / 1e9,
        latency_ms=one.latency,
        paper_pq=exact and known(exact.pq),
        paper_miou=exact and known(exact.miou),
        paper_ap=exact and known(exact.ap),
        paper_pq_at_least=sure and known(sure.pq),
        **({} if one.pixel_embedding else dict(paper_ap_at_least=sure and sure.ap)),
    )


def known(figure: float) -> float | None:
    """A figure of the paper, or None where its table has none."""
    return None if isnan(figure) else figure


def table(rows: list[dict[str, Any]], framework: Framework) -> list[list[str]]:
    """Heading and rows; what is published stands under 'paper'."""
    timed = any(row["latency_ms"] for row in rows)
    levels = ", ".join(rows[0]["layers_per_level"])
    heading = ["", f"layers at {levels}", "GFLOPs", *(["ms"] if timed else [])]
    least = f"{framework.figures.split(',')[0].removesuffix(' (paper)')} at least"
    lines = [[*heading, framework.figures, least]]
    for row in rows:
        line = [
            f"{'-> ' if row['chosen'] else ''}{row['name']}",
            ", ".join(map(str, row["layers_per_level"].values())),
            f"{row['gmacs']:.1f}",
            *([f"{row['latency_ms']:.0f}"] if timed else []),
            *accuracy(row),
        ]
        lines.append(line)
    return lines


def accuracy(row: dict[str, Any]) -> tuple[str, str]:
    """The paper's figures, and the PQ or AP that follows from them, where there are any."""
    if "paper_ap_at_least" in row:
        figures = (row["paper_ap"], row["paper_ap_at_least"])
        return tuple("-" if figure is None else f"{figure:.1f}" for figure in figures)
    paper = "{paper_pq:.2f}, {paper_miou:.2f}, {paper_ap:.2f}" if row["paper_pq"] else "-"
    sure = "{paper_pq_at_least:.2f}" if row["paper_pq_at_least"] else "-"
    return paper.format_map(row), sure.format_map(row)


if __name__ == "__main__":
    main()
