"""Measure latency and peak memory of one model, or of two in turns, with random weights.

Two models take turns, round by round. A ratio divides CONFIG's time by that of --against in the
same round; it is printed as median and quartiles over the rounds, and 0.50 is half the time. Both
models get the same random images, each with its own padding. The whole goes from these images to
data samples with results. '-' stands for a part that a model does not have.

With random weights hardly any query passes the score threshold. So the part 'results' takes longer
with a trained model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import (
    ANY_CONFIG,
    add_image_size,
    add_measuring_options,
    at_least,
    command_line,
    make_parser,
)
from mmproscale.errors import InputError
from mmproscale.timing.measurement import Stopwatch
from mmproscale.utils.atomic_files import atomic_write_text, ensure_writable_dir
from mmproscale.utils.config import find_config
from mmproscale.utils.terminal_table import terminal_table

if TYPE_CHECKING:
    from mmproscale.timing.comparison import Case, Prepared


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("config", help=ANY_CONFIG)
    parser.add_argument(
        "--against", metavar="CONFIG", help="second model; CONFIG's times are divided by its times"
    )
    add_image_size(parser, "--shape")
    parser.add_argument("--batch", type=at_least(1), default=1, help="images in a batch")
    add_measuring_options(parser)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile backbone, neck, pixel decoder and the heads' layers; memory is "
        "measured after compilation",
    )
    parser.add_argument(
        "--stock-attention",
        action="store_true",
        help="let stock models compute deformable attention with mmcv, and Swin and ResNet with "
        "mmdet; otherwise they use the code of mmproscale, which is faster",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="also write all figures to this file; - prints them"
    )
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    if args.compile and not args.warm_up:
        raise InputError("--compile compiles in the warm-up: --warm-up must be at least 1")
    for config in filter(None, (args.config, args.against)):
        find_config(config)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmproscale.timing.comparison import answer_memory, compare
    from mmproscale.timing.conditions import conditions, own_arguments, set_up

    set_up(args)
    if args.json not in (None, "-"):
        ensure_writable_dir(Path(args.json).parent)
    case = make_case(args)
    if answer_memory([case], args):
        return
    (measured,) = compare([case], args, __file__, own_arguments(without="--json"))
    results = conditions(args, "tools/benchmark.py", without="--json") | measured
    print_results(results, args.json)


def make_case(args: argparse.Namespace) -> Case:
    """Return the case of the options' models; the first one is the base of the ratios."""
    from mmproscale.cost.random_model import load_any_config, model_without_weights, random_model
    from mmproscale.timing.comparison import Case

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
    """Return configs by their files' names; a name that is taken gets a number."""
    names: dict[str, str] = {}
    for config in configs:
        stem = Path(config.rpartition("::")[2]).stem
        names[f"{stem} (2)" if stem in names else stem] = config
    return names


def prepare(make_model: partial, config: str, args: argparse.Namespace) -> Prepared:
    """Return a model with its batch, and the tiny call that precedes a measurement of memory."""
    from mmproscale.models.precision import set_precision
    from mmproscale.timing.comparison import Prepared
    from mmproscale.timing.compilation import compile_model
    from mmproscale.timing.model_latency import random_inputs

    with errors_as_input(config, args):
        model = make_model().eval().to(args.device)
        set_precision(model, args.precision)
        if args.compile:
            compile_model(model)
        batch = random_inputs(model, tuple(args.shape), args.batch)
        small = random_inputs(model, tuple(min(side, max(64, side // 4)) for side in args.shape))
    run = partial(predict, model, config, args)

    def warm_up() -> None:
        """Predict small images, or the batch if the model is compiled or refuses small ones."""
        if not args.compile:  # compiled for one shape only
            with suppress(InputError):
                return run(*small, Stopwatch())
        run(*batch, Stopwatch())

    return Prepared(run=partial(run, *batch), warm_up=warm_up)


def predict(
    model: Any, config: str, args: argparse.Namespace, images: Any, samples: Any, watch: Stopwatch
) -> None:
    """Predict once under the options' conditions."""
    from mmproscale.timing.conditions import stock_attention
    from mmproscale.timing.model_latency import timed_prediction

    attention = stock_attention() if args.stock_attention else nullcontext()
    with errors_as_input(config, args), attention:
        timed_prediction(model, images, samples, watch)


@contextmanager
def errors_as_input(config: str, args: argparse.Namespace) -> Iterator[None]:
    """Turn errors of the model or the compiler into InputError, as config and shape are input.

    Raises:
        InputError: Instead of the error.
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


def print_results(results: dict[str, Any], file: str | None) -> None:
    """Print a table, and write the JSON if a file is given; ``-`` prints only the JSON."""
    text = json.dumps(results, indent=1) + "\n"
    if file == "-":
        print(text, end="")
        return
    from mmproscale.timing.comparison import table_rows

    Console().print(terminal_table(results["name"], table_rows(results)))
    if file:
        atomic_write_text(file, text)
        print(f"written to {file}")


if __name__ == "__main__":
    main()
