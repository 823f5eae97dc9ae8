"""ECO-M2F after its step A: what every exit is worth to each image, and a gate that knows it.

derive (step B) runs a trained model over its training images and keeps, for every exit, quality (PQ
of a segmentor, AP of a detector) and cost, and what the gate sees. fit and curve (step C) need that
file alone, no image and no GPU: fit writes a gate into a checkpoint, curve shows what gates cost
and reach. docs/early_exit.md tells it from the beginning. GFLOPs are GMACs of the whole model as
run, as tools/cost.py counts them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import (
    add_cfg_options,
    command_line,
    joined_processes,
    own_device,
)
from mmproscale.cost.tables import terminal
from mmproscale.early_exit import report
from mmproscale.early_exit.derived_file import BOX_IOUS, read_table
from mmproscale.early_exit.derived_table import split
from mmproscale.early_exit.gate_checkpoint import gate_of, load_same_model, write_gate
from mmproscale.early_exit.gate_losses import LOSSES
from mmproscale.early_exit.gate_sweep import BETAS, GateSweep, warning_of
from mmproscale.early_exit.trade_off import Point, TradeOff
from mmproscale.evaluation.universal_report import for_json
from mmproscale.inference.predictor import choose_device
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.config import load_config
from mmproscale.utils.progress import bars_by_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_derive(commands.add_parser("derive", help="step B: a model's images to a derived file"))
    add_fit(commands.add_parser("fit", help="step C: a derived file to a gated checkpoint"))
    add_curve(commands.add_parser("curve", help="what gates of many betas cost and reach"))
    return parser.parse_args()


def add_derive(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=derive)
    parser.add_argument("config", metavar="CONFIG", help="config file of a model with an exit gate")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="of step A")
    parser.add_argument("--out", required=True, metavar="FILE", help="derived.parquet")
    parser.add_argument(
        "--quality",
        choices=list(BOX_IOUS) + ["pq"],
        help="of an image; pq of a segmentor, ap (of boxes) of a detector",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; the GPU, if there is one")
    parser.add_argument(
        "--restart", action="store_true", help="remove what is there, and begin anew"
    )
    add_cfg_options(parser)


def add_fit(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=fit)
    add_step_c(parser)
    aim = parser.add_mutually_exclusive_group(required=True)
    aim.add_argument("--beta", type=not_negative, help="the cost of a layer, in quality (0 to 1)")
    aim.add_argument(
        "--budget", type=not_negative, metavar="GFLOPS", help="mean of the whole model, instead"
    )
    parser.add_argument("--max-layers", type=int, metavar="K", help="no exit after more layers")
    parser.add_argument("--checkpoint", required=True, metavar="IN", help="as `derive` was given")
    parser.add_argument("--out", required=True, metavar="OUT", help="the checkpoint to write")


def add_curve(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=curve)
    add_step_c(parser)
    parser.add_argument("--betas", nargs="+", type=not_negative, default=BETAS, metavar="BETA")
    parser.add_argument(
        "--max-layers", nargs="+", type=int, default=[], metavar="K", help="also with so many"
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="also the gate that this one has")
    parser.add_argument("--out", default="work_dirs/eco_curve", help="folder of plot and JSON")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_step_c(parser: argparse.ArgumentParser) -> None:
    """What fit and curve share."""
    parser.add_argument("derived", metavar="FILE", help="what `derive` wrote")
    parser.add_argument("--loss", choices=list(LOSSES), default="u-ce", help="u-ce")
    parser.add_argument(
        "--held-out",
        type=share,
        default=0.2,
        metavar="SHARE",
        help="of the images to judge by and not fit to, 0.2; with 0 all are for both",
    )
    parser.add_argument("--seed", type=int, default=0, help="of that choice, 0")


def not_negative(text: str) -> float:
    """A type for argparse: a number from 0."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0")
    return number


def share(text: str) -> float:
    """A type for argparse: a number from 0 to below 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return number


@command_line
def main() -> None:
    args = parse_args()
    args.run(args)


def derive(args: argparse.Namespace) -> None:
    # Fitting needs no model: it starts without them.
    from mmengine.dist import is_main_process

    from mmproscale.early_exit import derivation

    config = load_config(args.config, args.cfg_options)
    device = choose_device(args.device or own_device())
    with joined_processes(), bars_by_name() as bar:

        def show(done: int, total: int) -> None:
            if is_main_process():
                bar("images", done, total)

        derivation.derive(
            config,
            args.checkpoint,
            args.out,
            device,
            quality=args.quality,
            restart=args.restart,
            progress=show,
        )
        if is_main_process():
            print(f"written: {args.out}")


def fit(args: argparse.Namespace) -> None:
    sweep, _ = prepare(args)
    origin = sweep.fitting.origin
    checkpoint = load_same_model(args.checkpoint, origin, args.derived)
    beta = args.beta
    if beta is None:
        beta = sweep.beta_for(args.budget, args.max_layers)
        print(f"beta {beta:.3g} for {args.budget:g} GFLOPs")
    gate = sweep.fit(beta, args.max_layers)
    point = sweep.judge_gate(gate, beta, args.max_layers)
    show_points([*sweep.judge.fixed_exits(), point, sweep.oracle(beta, args.max_layers)], sweep)
    if said := warning_of(point, args.budget):
        print(f"warning: {said}", file=sys.stderr)
    how = dict(beta=beta, loss=args.loss, max_layers=args.max_layers, budget=args.budget)
    how |= dict(held_out=args.held_out, seed=args.seed, gmacs=point.gmacs, quality=point.quality)
    write_gate(checkpoint, origin, gate, Path(args.out), how)
    print(f"written: {args.out}")


def curve(args: argparse.Namespace) -> None:
    sweep, images = prepare(args)
    origin = sweep.fitting.origin
    points = with_bar(sweep, args)
    if args.checkpoint:
        checkpoint = load_same_model(args.checkpoint, origin, args.derived)
        gate = gate_of(checkpoint, origin, args.checkpoint)
        points.append(sweep.judge_gate(gate, None, kind="checkpoint"))
    out = ensure_writable_dir(args.out)
    content = for_json(report.as_json(points, origin, *images))
    atomic_write_text(out / "curve.json", json.dumps(content, indent=1) + "\n")
    plot = draw(out, points, sweep)
    if args.json:
        print(json.dumps(content, indent=1))
        return
    show_points(points, sweep)
    print(f"plot: {plot}\nJSON: {out / 'curve.json'}")


def prepare(args: argparse.Namespace) -> tuple[GateSweep, tuple[int, int]]:
    """The file, split; and how many images are on either side."""
    fitting, judging = split(read_table(args.derived), args.held_out, args.seed)
    sweep = GateSweep(fitting, TradeOff(judging, seed=args.seed), args.loss)
    return sweep, (len(fitting), len(judging))


def with_bar(sweep: GateSweep, args: argparse.Namespace) -> list[Point]:
    """The curve's points, with a progress bar."""
    with bars() as bar:
        return sweep.curve(args.betas, [None, *args.max_layers], bar)


@contextmanager
def bars() -> Iterator:
    with bars_by_name() as show:
        yield lambda done, total: show("gates", done, total)


def draw(out: Path, points: list[Point], sweep: GateSweep) -> Path:
    from mmproscale.early_exit.trade_off_plot import draw_trade_off

    quality = f"{sweep.fitting.origin.quality.upper()}, percent"
    return draw_trade_off(out / "curve.png", points, quality, title(sweep))


def show_points(points: list[Point], sweep: GateSweep) -> None:
    Console().print(terminal(title(sweep), report.rows(points, sweep.fitting.origin)))


def title(sweep: GateSweep) -> str:
    """What was run, and on how many images it is judged."""
    origin, judged = sweep.fitting.origin, len(sweep.judge.table)
    of = "dataset" if origin.categories else "images' mean"
    return f"{origin.config}, {origin.schedule}: {judged} images held out, {of} quality"


if __name__ == "__main__":
    main()
