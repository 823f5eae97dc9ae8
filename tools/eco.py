"""Steps B and C of ECO-M2F: quality and cost of every exit, and the gate that chooses one.

derive (step B) runs a trained model over its training images and stores, for every exit, quality
(PQ of a segmentor, AP of a detector) and cost, and the gate's input. fit and curve (step C) need
only that file, no image and no GPU: fit writes a gate into a checkpoint, curve shows cost and
quality of gates. docs/early_exit.md explains the steps. GFLOPs are GMACs of the whole model as run,
as tools/cost.py counts them.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.checkpoints.model_config import check_source, load_config_for
from mmproscale.checkpoints.weights_file import check_suffix, header_of
from mmproscale.cli.command_line import (
    MixedParser,
    add_cfg_options,
    add_launcher,
    add_model,
    command_line,
    own_device,
)
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.json_values import nan_to_null
from mmproscale.utils.processes import PATIENCE, join_processes, launcher_of
from mmproscale.utils.progress import bars_by_name
from mmproscale.utils.stop_signals import keeping
from mmproscale.utils.terminal_table import terminal_table

if TYPE_CHECKING:
    from mmproscale.early_exit.gate_sweep import GateSweep
    from mmproscale.early_exit.trade_off import Point


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=MixedParser)
    add_derive(commands.add_parser("derive", help="step B: write the derived file of a model"))
    add_fit(commands.add_parser("fit", help="step C: fit a gate and write it into a checkpoint"))
    add_curve(commands.add_parser("curve", help="show cost and quality of gates of many betas"))
    return parser.parse_args()


def add_derive(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=derive)
    add_model(parser, "config file of a model with an exit gate", "checkpoint of step A")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="derived file to write, e.g. derived.parquet"
    )
    parser.add_argument(
        "--quality",
        choices=["ap", "ap50", "pq"],
        help="quality of an image; default pq for a segmentor, ap (of boxes) for a detector",
    )
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1, ...; default: the GPU, if there is one"
    )
    parser.add_argument(
        "--restart", action="store_true", help="remove the files of an earlier run and start again"
    )
    add_cfg_options(parser)
    add_launcher(parser)


def add_fit(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=fit)
    add_step_c(parser)
    aim = parser.add_mutually_exclusive_group(required=True)
    aim.add_argument("--beta", type=not_negative, help="quality (0 to 1) that a layer must gain")
    aim.add_argument(
        "--budget",
        type=not_negative,
        metavar="GFLOPS",
        help="instead of --beta: largest mean cost of the whole model",
    )
    parser.add_argument(
        "--max-layers", type=int, metavar="K", help="close the exits after more than K layers"
    )
    parser.add_argument(
        "--checkpoint", required=True, metavar="IN", help="the checkpoint that `derive` was given"
    )
    parser.add_argument(
        "--out", required=True, metavar="OUT", help="file to write: .safetensors or .pth"
    )


def add_curve(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=curve)
    add_step_c(parser)
    parser.add_argument(
        "--betas",
        nargs="+",
        type=not_negative,
        metavar="BETA",
        help="betas to show; default: 0 to 0.1",
    )
    parser.add_argument(
        "--max-layers",
        nargs="+",
        type=int,
        default=[],
        metavar="K",
        help="also show gates without the exits after more than K layers",
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="also show the gate of this checkpoint"
    )
    parser.add_argument("--out", default="work_dirs/eco_curve", help="folder of plot and JSON")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_step_c(parser: argparse.ArgumentParser) -> None:
    """Add the options that fit and curve share."""
    parser.add_argument("derived", metavar="FILE", help="the file that `derive` wrote")
    parser.add_argument(
        "--loss",
        choices=["hard-ce", "u-ce", "soft-ce", "soft-mse"],
        default="u-ce",
        help="loss of the gate; default u-ce",
    )
    parser.add_argument(
        "--held-out",
        type=share,
        default=0.2,
        metavar="SHARE",
        help="share of the images that judge the gate and do not fit it, default 0.2; with 0 all "
        "images do both",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of that split, default 0")


def not_negative(text: str) -> float:
    """Parse a number from 0, as a type for argparse."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0")
    return number


def share(text: str) -> float:
    """Parse a number from 0 to below 1, as a type for argparse."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return number


@command_line
def main() -> None:
    args = parse_args()
    args.run(args)


def derive(args: argparse.Namespace) -> None:
    config = load_config_for(args.config, args.checkpoint, args.cfg_options)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmengine.dist import is_main_process

    from mmproscale.early_exit import derivation
    from mmproscale.utils.devices import choose_device

    # Processes exchange only short messages, and one may finish hours before another.
    join_processes(launcher_of(args.launcher), "gloo", PATIENCE)
    device = choose_device(args.device or own_device())
    kept = "finished parts are kept, and the same command continues after them"
    with bars_by_name() as bar, keeping(kept):
        derivation.derive(
            config,
            args.checkpoint,
            args.out,
            device,
            quality=args.quality,
            restart=args.restart,
            progress=partial(bar, "images") if is_main_process() else lambda done, total: None,
        )
        if is_main_process():
            print(f"written: {args.out}")


def fit(args: argparse.Namespace) -> None:
    check_suffix(args.out)
    check_source(args.checkpoint)
    from mmproscale.early_exit.gate_checkpoint import load_same_model, write_gate
    from mmproscale.early_exit.gate_sweep import warning_of

    sweep = prepare(args)
    origin = sweep.fitting.origin
    checkpoint = load_same_model(args.checkpoint, origin, args.derived)
    beta = args.beta
    if beta is None:
        beta = sweep.beta_for(args.budget, args.max_layers)
        print(f"beta {beta:.3g} for {args.budget:g} GFLOPs")
    gate = sweep.fit(beta, args.max_layers)
    point = sweep.judge_gate(gate, beta, args.max_layers)
    print_points([*sweep.judge.fixed_exits(), point, sweep.oracle(beta, args.max_layers)], sweep)
    if warning := warning_of(point, args.budget):
        print(f"warning: {warning}", file=sys.stderr)
    settings = dict(beta=beta, loss=args.loss, max_layers=args.max_layers, budget=args.budget)
    settings |= dict(held_out=args.held_out, seed=args.seed)
    settings |= dict(gmacs=point.gmacs, quality=point.quality / 100)
    header = header_of(args.checkpoint, checkpoint.get("meta") or {})
    write_gate(checkpoint, origin, gate, Path(args.out), settings, header)
    print(f"written: {args.out}")


def curve(args: argparse.Namespace) -> None:
    check_source(args.checkpoint)
    from mmproscale.early_exit.gate_checkpoint import gate_of, load_same_model
    from mmproscale.early_exit.gate_sweep import BETAS
    from mmproscale.early_exit.trade_off import draw_trade_off, trade_off_json

    sweep = prepare(args)
    origin = sweep.fitting.origin
    with bars_by_name() as bar:
        points = sweep.curve(args.betas or BETAS, [None, *args.max_layers], partial(bar, "gates"))
    if args.checkpoint:
        checkpoint = load_same_model(args.checkpoint, origin, args.derived)
        gate = gate_of(checkpoint, origin, args.checkpoint)
        points.append(sweep.judge_gate(gate, None, kind="checkpoint"))
    out = ensure_writable_dir(args.out)
    numbers = len(sweep.fitting), len(sweep.judge.table)
    content = json.dumps(nan_to_null(trade_off_json(points, origin, *numbers)), indent=1)
    atomic_write_text(out / "curve.json", content + "\n")
    quality = f"{origin.quality.upper()}, percent"
    plot = draw_trade_off(out / "curve.png", points, quality, title_of(sweep))
    if args.json:
        print(content)
        return
    print_points(points, sweep)
    print(f"plot: {plot}\nJSON: {out / 'curve.json'}")


def prepare(args: argparse.Namespace) -> GateSweep:
    """Read the derived file and split its images."""
    from mmproscale.early_exit.derived_file import read_table
    from mmproscale.early_exit.derived_table import split
    from mmproscale.early_exit.gate_sweep import GateSweep
    from mmproscale.early_exit.trade_off import TradeOff

    fitting, judging = split(read_table(args.derived), args.held_out, args.seed)
    return GateSweep(fitting, TradeOff(judging, seed=args.seed), args.loss)


def print_points(points: list[Point], sweep: GateSweep) -> None:
    from mmproscale.early_exit.trade_off import trade_off_rows

    Console().print(terminal_table(title_of(sweep), trade_off_rows(points, sweep.fitting.origin)))


def title_of(sweep: GateSweep) -> str:
    origin, judged = sweep.fitting.origin, len(sweep.judge.table)
    return f"{origin.config}, {origin.schedule}: {judged} images held out, dataset quality"


if __name__ == "__main__":
    main()
