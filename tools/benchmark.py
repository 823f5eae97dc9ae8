"""Latency and peak memory of one model or of two side by side, with random weights.

Two models take turns, round by round: a ratio is of two times of the same round, CONFIG's to that
of --against, given as median and quartiles over the rounds: 0.50 is half the time. Both see the
same random images, padded to what each needs. The whole is everything from these to data samples
with results; a part that a model does not have is '-'.

With random weights hardly a query passes the score threshold: what 'results' takes depends on what
is found, so in use it takes longer than here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import ANY_CONFIG, add_shape_option, command_line, make_parser
from mmproscale.cost import tables
from mmproscale.cost.random_model import (
    load_any_config,
    model_without_weights,
    random_model,
)
from mmproscale.errors import InputError
from mmproscale.timing.comparison import Case, Prepared, answer_memory, compare
from mmproscale.timing.compilation import compile_model
from mmproscale.timing.conditions import conditions, own_arguments
from mmproscale.timing.measurement import Stopwatch
from mmproscale.timing.measuring_options import (
    add_measuring_options,
    at_least,
    autocast,
    set_up,
)
from mmproscale.timing.model_latency import random_inputs, timed_prediction
from mmproscale.timing.stock_attention import stock_attention
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.terminal_table import terminal_table


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("config", help=ANY_CONFIG)
    parser.add_argument("--against", metavar="CONFIG", help="another: ratios are to its times")
    add_shape_option(parser)
    parser.add_argument("--batch", type=at_least(1), default=1, help="images at once")
    add_measuring_options(parser)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile backbone, neck, pixel decoder and the heads' layers; memory is of what "
        "runs after that",
    )
    parser.add_argument(
        "--stock-attention",
        action="store_true",
        help="mmcv's own modules compute deformable attention as they do without mmproscale, "
        "whose operator serves them otherwise, so that stock models are faster than by themselves",
    )
    parser.add_argument("--json", metavar="FILE", help="also write everything there; - prints it")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    if args.compile and not args.warm_up:
        raise InputError("--compile takes place in the warm-up: --warm-up must be at least 1")
    set_up(args)
    if args.json not in (None, "-"):
        ensure_writable_dir(Path(args.json).parent)
    case = make_case(args)
    if answer_memory([case], args):
        return
    (measured,) = compare([case], args, __file__, own_arguments(without="--json"))
    results = conditions(args, "tools/benchmark.py", without="--json") | measured
    show(results, args.json)


def make_case(args: argparse.Namespace) -> Case:
    """The models of the options, the one that ratios are to first."""
    configs = name_apart([config for config in (args.against, args.config) if config])
    settings = dict(
        configs=configs,
        shape=list(args.shape),
        batch=args.batch,
        compile=args.compile,
        stock_attention=args.stock_attention,
    )
    title = [f"{args.shape[0]}x{args.shape[1]}", f"batch {args.batch}"]
    title += ["compiled"] * args.compile + ["stock attention"] * args.stock_attention
    candidates = {}
    for name, config in configs.items():
        loaded = load_any_config(config)
        scope, model = loaded.get("default_scope"), model_without_weights(loaded)
        make_model = partial(random_model, model, scope)
        candidates[name] = partial(prepare, make_model, config, args)
    return Case(", ".join(title), settings, candidates)


def name_apart(configs: list[str]) -> dict[str, str]:
    """Configs by their files' names; one whose name is taken by what follows it, by a number."""
    names: dict[str, str] = {}
    for config in configs:
        stem = Path(config.rpartition("::")[2]).stem
        names[f"{stem} (2)" if stem in names else stem] = config
    return names


def prepare(make_model: partial, config: str, args: argparse.Namespace) -> Prepared:
    """A model on its device with its batch, and what a measurement of memory has run before."""
    with explained(config, args):
        model = make_model().eval().to(args.device)
        if args.compile:
            compile_model(model)
        batch = random_inputs(model, tuple(args.shape), args.batch)
        small = random_inputs(model, tuple(min(side, max(64, side // 4)) for side in args.shape))
    run = partial(predict, model, config, args)

    def warm_up() -> None:
        """Small, unless that is not what will run or the model refuses maps so small."""
        if not args.compile:  # which is for one shape
            with suppress(InputError):
                return run(*small, Stopwatch())
        run(*batch, Stopwatch())

    return Prepared(run=partial(run, *batch), warm_up=warm_up)


def predict(
    model: Any, config: str, args: argparse.Namespace, images: Any, samples: Any, watch: Stopwatch
) -> None:
    """One prediction under the options' conditions."""
    attention = stock_attention() if args.stock_attention else nullcontext()
    with explained(config, args), attention, autocast(args):
        timed_prediction(model, images, samples, watch)


@contextmanager
def explained(config: str, args: argparse.Namespace) -> Iterator[None]:
    """What a model refuses is bad input: it may be anybody's, and so may the shape.

    Raises:
        InputError: In the place of an error of the model or of the compiler.
    """
    try:
        yield
    except (AssertionError, IndexError, KeyError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{config}: {error}") from error
        said = f"{type(error).__name__}: {(str(error).strip() or 'no reason').splitlines()[0]}"
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise InputError(
                f"--compile: {config} can't be compiled ({said}): is there a C++ compiler? Install "
                "one, or leave --compile out"
            ) from error
        size = f"{args.batch}x3x{args.shape[0]}x{args.shape[1]}"
        raise InputError(
            f"{config} can't predict images of {size}: {said} (another --shape or config may do)"
        ) from error


def show(results: dict[str, Any], file: str | None) -> None:
    """A table, and the JSON where it is wanted."""
    text = json.dumps(results, indent=1) + "\n"
    if file == "-":
        print(text, end="")
        return
    Console().print(terminal_table(results["name"], tables.rows(results)))
    if file:
        atomic_write_text(file, text)
        print(f"written to {file}")


if __name__ == "__main__":
    main()
