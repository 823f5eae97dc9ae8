"""Choose an encoder for a budget and write its config.

The tool prices every PRO-SCALE (p1,p2,p3), M2F and Lite-M2F encoder up to a number of layers, with
LPE and with the 3x3 convolution. A price is in GMACs of the papers' form, which papers call GFLOPs,
or in milliseconds measured on this machine.

The table shows the frontier: the encoders, by rising price, that rank higher than every cheaper
one. Encoders rank by the column 'PQ at least'. Its value is the best PQ that the paper reports for
an encoder of the same family with at most as many layers on each level. Encoders with equal values
rank by their layers per level. The column '(paper)' has figures that the paper reports for COCO;
none was measured with this code. PRO-SCALE encoders have TRC, which costs next to nothing. Average
pooling in LPE costs the same as max pooling. RT-M2F is left out: it has no schedule, and the paper
reports a far lower PQ.

Costs are of images of the base config's own size, unless --shape or --data states another one. With
--data the size is the one at which tools/new_config.py reads these images, and that tool takes the
written config as its --base.

With --framework dino, ddq or deformable-detr the tool prices the encoders of a detector over
strides 64 to 8: PRO-SCALE in four stages, PRO-SCALE in three stages that begin with strides 64 and
32 together, the detector's own encoder, and Lite-DETR's encoder. The paper reports AP for two
encoders of DINO (Table T1) and for none of the others, so layers per level decide most of the
ranking.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import (
    DATA_KINDS,
    add_image_size,
    at_least,
    command_line,
    make_parser,
    positive,
)
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.command_names import command
from mmproscale.utils.config import CONFIGS, load_config
from mmproscale.utils.progress import progress_bars
from mmproscale.utils.terminal_table import terminal_table

if TYPE_CHECKING:
    from mmproscale.planning.candidates import Candidate, Framework
    from mmproscale.planning.ranking import PaperRanking

MAX_ROWS = 10


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--framework",
        choices=["ddq", "deformable-detr", "dino", "m2f"],
        default="m2f",
        help="model of the encoder: Mask2Former (m2f), or a detector; m2f if not given",
    )
    parser.add_argument(
        "--backbone",
        required=True,
        help="name of the backbone in the configs: swin-t, r50; or timm/NAME for one of timm",
    )
    add_image_size(parser, "--shape", None)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of your data, whose images give the size"
    )
    parser.add_argument("--kind", choices=DATA_KINDS, help="kind of data, if DIR holds several")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--budget", type=positive, metavar="GFLOPS", help="largest cost of the whole model"
    )
    budget.add_argument(
        "--latency",
        type=positive,
        metavar="MS",
        help="time of one image, measured here for the encoders on the frontier of GFLOPs",
    )
    parser.add_argument(
        "--max-repeats", type=at_least(1), default=3, help="largest number of layers in a stage"
    )
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="device of --latency"
    )
    parser.add_argument("--rounds", type=at_least(1), default=5, help="rounds of --latency")
    parser.add_argument("--out", default="work_dirs/plan", help="folder for plot and config")
    parser.add_argument(
        "--all", action="store_true", help=f"print the whole frontier, not the nearest {MAX_ROWS}"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    # Imported only now: torch takes seconds to import.
    from mmproscale.planning.candidates import FRAMEWORKS, base_config
    from mmproscale.planning.plan_prices import priced_candidates
    from mmproscale.planning.ranking import PaperRanking, frontier
    from mmproscale.utils.devices import choose_device

    choose_device(args.device)
    framework = FRAMEWORKS[args.framework]
    base = base_config(CONFIGS, args.backbone, framework)
    out = ensure_writable_dir(args.out)
    args.shape = shape_of(args, base)
    shape, ranking = args.shape, PaperRanking.of_backbone(args.backbone, framework)
    candidates = list(priced_candidates(CONFIGS, args.backbone, shape, args.max_repeats, framework))
    on_frontier = frontier(candidates, ranking, price=lambda one: one.macs)
    if args.latency is not None:
        candidates = measure_all(on_frontier, base, args)
        on_frontier = frontier(candidates, ranking, price=price_of(args))
    chosen = choose(on_frontier, args)
    config = write_config(chosen, base, out, args)
    plot = write_plot(out, candidates, on_frontier, chosen, ranking, args)
    rows = [frontier_row(one, ranking, one is chosen) for one in on_frontier]
    if args.json:
        files = dict(config=str(config), plot=str(plot))
        shares = [row | {k: v and v / 100 for k, v in row.items() if "paper" in k} for row in rows]
        print(json.dumps(dict(frontier=shares, chosen=chosen.name, **files), indent=1))
        return
    shown = rows if args.all else nearest(rows)
    Console().print(terminal_table(title(args, len(candidates)), table(shown, framework)))
    if len(shown) < len(rows):
        print(f"{len(shown)} of {len(rows)} on the frontier; --all prints the others.")
    print(notes(args, ranking))
    print(f"chosen: {chosen.name}\nconfig: {config}\nplot:   {plot}")
    if args.data and args.framework == "m2f":
        print(f"next:   {command('new-config')} --data {args.data} --base {config}")


def shape_of(args: argparse.Namespace, base: Path) -> tuple[int, int]:
    """Return (H, W) of the images: as stated, of the data as a new config reads it, or the base's.

    Raises:
        InputError: The folder holds no known data; both a size and a folder are stated.
    """
    from mmproscale.cost.cost_report import own_size
    from mmproscale.own_data.choices import working_size
    from mmproscale.own_data.data_search import SearchOptions, find_data
    from mmproscale.own_data.dataset_reading import stored_size

    if args.data is None:
        return tuple(args.shape or own_size(load_config(base)))
    if args.shape:
        raise InputError("--shape and --data both state the size of the images: leave one out")
    found = find_data(args.data, SearchOptions(kind=args.kind))
    width, height = working_size(stored_size(found))
    return height, width


def nearest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows around the chosen one, at most :data:`MAX_ROWS`."""
    chosen = next(place for place, row in enumerate(rows) if row["chosen"])
    first = max(0, min(chosen - MAX_ROWS // 2, len(rows) - MAX_ROWS))
    return rows[first : first + MAX_ROWS]


def notes(args: argparse.Namespace, ranking: PaperRanking) -> str:
    """Explain the figures for readers who see only the table."""
    lines = ["paper: reported in the paper for COCO, not measured here."]
    if ranking.is_borrowed:
        from mmproscale.planning.candidates import FRAMEWORKS

        other = FRAMEWORKS[args.framework].ordered_by.title()
        lines.append(
            f"The paper has too few rows with {args.backbone}: rows with {other} rank the encoders."
        )
    else:
        lines += [
            "at least: the paper's best figure of an encoder of the same family with at most as",
            "many layers on each level, assuming that more layers do no harm.",
        ]
    return "\n".join(lines)


def price_of(args: argparse.Namespace) -> Callable[[Candidate], float]:
    """Return the function that gives a candidate's price in the budget's unit."""
    if args.latency is not None:
        return lambda candidate: candidate.latency
    return lambda candidate: candidate.macs / 1e9


def budget_of(args: argparse.Namespace) -> tuple[float, str]:
    """Return the budget and its unit."""
    return (args.latency, "ms") if args.latency is not None else (args.budget, "GFLOPs")


def measure_all(
    candidates: list[Candidate], base: Path, args: argparse.Namespace
) -> list[Candidate]:
    """Return the candidates with their latency; no other program should run meanwhile."""
    from mmproscale.planning.plan_prices import with_latency

    with progress_bars() as bars:
        task = bars.add_task("rounds", total=args.rounds + 1)
        return with_latency(
            candidates,
            base,
            args.shape,
            args.device,
            args.rounds,
            after_round=lambda: bars.advance(task),
        )


def choose(on_frontier: list[Candidate], args: argparse.Namespace) -> Candidate:
    """Return the last candidate on the frontier that is within the budget.

    Raises:
        InputError: Every candidate exceeds the budget.
    """
    price, (budget, unit) = price_of(args), budget_of(args)
    fitting = [one for one in on_frontier if price(one) <= budget]
    if not fitting:
        cheapest = on_frontier[0]
        raise InputError(
            f"nothing fits {budget:g} {unit}: the cheapest, {cheapest.name}, takes "
            f"{price(cheapest):.1f}"
        )
    return fitting[-1]


def write_config(chosen: Candidate, base: Path, out: Path, args: argparse.Namespace) -> Path:
    """Write the chosen candidate's config, which inherits from one in configs/."""
    from mmproscale.planning.candidates import candidate_config_text

    budget, unit = budget_of(args)
    height, width = args.shape
    comment = (
        f"{chosen.name}, chosen for {budget:g} {unit} at {height}x{width}: "
        f"{chosen.macs / 1e9:.1f} GMACs."
    )
    dataset = base.stem.rpartition("_")[2]
    path = out / f"{chosen.file_stem}_{args.framework}_{file_part(args.backbone)}_{dataset}.py"
    relative = os.path.relpath(base.resolve(), out.resolve())
    atomic_write_text(path, candidate_config_text(chosen, relative, comment))
    return path


def file_part(backbone: str) -> str:
    """Return a backbone's name as a part of a file name: ``timm-NAME`` for ``timm/NAME``."""
    return backbone.replace("/", "-")


def write_plot(
    out: Path,
    candidates: list[Candidate],
    on_frontier: list[Candidate],
    chosen: Candidate,
    ranking: PaperRanking,
    args: argparse.Namespace,
) -> Path:
    """Draw the plot into the folder of the config."""
    from mmproscale.planning.plan_plot import draw_plan

    budget, unit = budget_of(args)
    labels = (title(args, len(candidates)), f"{unit} of the whole model, one image")
    price = price_of(args)
    path = out / f"{file_part(args.backbone)}.png"
    return draw_plan(path, candidates, on_frontier, chosen, ranking, price, budget, labels)


def title(args: argparse.Namespace, count: int) -> str:
    """Return the title of table and plot."""
    height, width = args.shape
    return f"{args.backbone}, one image of {height}x{width}: {count} encoders"


def frontier_row(one: Candidate, ranking: PaperRanking, chosen: bool) -> dict[str, Any]:
    """Return one row of the frontier as JSON has it."""
    own = ranking.row_of(one)
    bound = None if ranking.is_borrowed else ranking.lower_bound(one)
    return dict(
        name=one.name,
        chosen=chosen,
        layers_per_level=dict(zip(map(str, one.schedule.strides), one.updates, strict=True)),
        gmacs=one.macs / 1e9,
        latency_ms=one.latency,
        paper_pq=own and known(own.pq),
        paper_miou=own and known(own.miou),
        paper_ap=own and known(own.ap),
        paper_pq_at_least=bound and known(bound.pq),
        **({} if one.pixel_embedding else dict(paper_ap_at_least=bound and bound.ap)),
    )


def known(figure: float) -> float | None:
    """Return a figure of the paper, None if its table lacks it."""
    return None if isnan(figure) else figure


def table(rows: list[dict[str, Any]], framework: Framework) -> list[list[str]]:
    """Return heading and rows; the last two columns are from the paper."""
    timed = any(row["latency_ms"] for row in rows)
    levels = ", ".join(rows[0]["layers_per_level"])
    heading = ["", f"layers at {levels}", "GFLOPs", *(["ms"] if timed else [])]
    figures = framework.figures
    lines = [[*heading, f"{', '.join(figures)} (paper)", f"{figures[0]} at least"]]
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


def accuracy(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of the paper's figures and of the PQ or AP that follows from them."""
    if "paper_ap_at_least" in row:
        figures = (row["paper_ap"], row["paper_ap_at_least"])
        return tuple("-" if figure is None else f"{figure:.1f}" for figure in figures)
    paper = "{paper_pq:.2f}, {paper_miou:.2f}, {paper_ap:.2f}" if row["paper_pq"] else "-"
    bound = "{paper_pq_at_least:.2f}" if row["paper_pq_at_least"] else "-"
    return paper.format_map(row), bound.format_map(row)


if __name__ == "__main__":
    main()
