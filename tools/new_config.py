"""Write a config for your own data, fitted to your machine.

DIR holds COCO panoptic files, COCO instances or boxes, or images and their semantic maps. Exports
of YOLO, CVAT and labelme are converted first (--convert). The tool reads all of the data; if it
finds a fault, it names the fault and writes nothing. The new config inherits from one of ours and
states the differences: classes, paths, sizes, batch, rate, schedule. You may change it afterwards.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import DATA_KINDS, at_least, command_line, make_parser, positive
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.command_names import command, several_processes
from mmproscale.utils.config import TOOLS, load_config
from mmproscale.utils.processes import usable_cores
from mmproscale.utils.progress import bars_by_name
from mmproscale.utils.terminal_table import terminal_table
from mmproscale.utils.words import plural

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmproscale.own_data.choices import Choices
    from mmproscale.own_data.data_search import FoundData


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="folder of your data"
    )
    parser.add_argument(
        "--base",
        help="config to inherit from, METHOD_m2f_BACKBONE, e.g. proscale_m2f_r50, "
        "proscale_m2f_r50_cityscapes for that recipe, proscale_m2f_timm/convnext_tiny, or a config "
        "that tools/plan.py wrote; for boxes METHOD_dino_BACKBONE; without this option the bases "
        "for the data are listed",
    )
    parser.add_argument(
        "--convert",
        type=Path,
        metavar="OUT",
        help="convert an export of YOLO, CVAT or labelme to COCO in this folder first",
    )
    parser.add_argument(
        "--things", nargs="*", metavar="LABEL", help="labels of labelme that are things"
    )
    parser.add_argument(
        "--gpus", type=at_least(0), help="number of GPUs; 0 for a CPU; those of this machine"
    )
    parser.add_argument(
        "--memory",
        type=positive,
        default=8.0,
        metavar="GIB",
        help="memory of each GPU, or of the machine for a CPU; 8 if not given",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="new config; ./BASE_DIR.py if not given"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "--no-measure", action="store_true", help="do not measure how long the training takes here"
    )
    _add_training_options(parser.add_argument_group("training"))
    _add_data_options(parser.add_argument_group("data, if DIR leaves a choice"))
    return parser.parse_args()


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    start = group.add_mutually_exclusive_group()
    start.add_argument(
        "--from-scratch", action="store_true", help="start from random weights, without a download"
    )
    start.add_argument(
        "--load-from",
        metavar="CHECKPOINT",
        help="start from a trained model, a file or hf://OWNER/NAME; its classes may differ",
    )
    start.add_argument(
        "--backbone-only",
        action="store_true",
        help="start from the backbone's weights, also with few images",
    )
    group.add_argument(
        "--frozen-backbone", action="store_true", help="the backbone keeps its weights"
    )
    length = group.add_mutually_exclusive_group()
    length.add_argument("--iterations", type=at_least(1), metavar="N", help="number of batches")
    length.add_argument(
        "--epochs", type=at_least(1), metavar="N", help="passes over the training images"
    )
    group.add_argument("--batch", type=at_least(1), metavar="N", help="images in a step")
    for name, least, what in (
        ("--image-size", 32, "size at which images are read"),
        ("--crop", 32, "size of the training's crops, multiples of 32"),
    ):
        group.add_argument(name, nargs=2, type=at_least(least), metavar=("W", "H"), help=what)
    group.add_argument(
        "--amp", action="store_true", help="mixed precision, so that more images fit"
    )
    group.add_argument(
        "--balance-classes", action="store_true", help="weigh rare classes more, up to 4 times"
    )


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--kind", choices=DATA_KINDS, help="kind of data, if DIR holds several")
    for split, name in (("train", "training"), ("val", "validation")):
        group.add_argument(
            f"--{split}-ann",
            type=Path,
            metavar="PATH",
            help=f"{name} JSON, or folder of semantic maps",
        )
        group.add_argument(
            f"--{split}-img", type=Path, metavar="DIR", help=f"folder of the {name} images"
        )
        group.add_argument(
            f"--{split}-seg", type=Path, metavar="DIR", help=f"folder of the {name} PNGs"
        )
    group.add_argument(
        "--val-share",
        type=share,
        metavar="SHARE",
        help="share of the training images to validate on if DIR has no validation split, 0.1",
    )
    group.add_argument(
        "--seed", type=at_least(0), default=0, help="seed of the choice for --val-share; 0"
    )
    group.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="file with the names of semantic classes, one per line",
    )
    group.add_argument(
        "--zero-is-void", action="store_true", help="label 0 of semantic maps means no class"
    )
    group.add_argument(
        "--workers",
        type=at_least(1),
        default=min(8, usable_cores()),
        metavar="N",
        help="processes that read images",
    )


def share(text: str) -> float:
    """Parse a number between 0 and 1 for argparse.

    Raises:
        ArgumentTypeError: The number is outside this range.
    """
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


@command_line
def main() -> None:
    args = parse_args()
    check_options(args)
    began = time.perf_counter()
    # Imported only now: torch takes seconds to import, and a wrong option should fail at once.
    import torch

    from mmproscale.own_data.base_configs import base_name, find_base
    from mmproscale.own_data.choices import TrainingOptions, choose
    from mmproscale.own_data.config_text import new_config_text
    from mmproscale.own_data.data_search import SearchOptions, find_data
    from mmproscale.own_data.dataset_reading import ReadingOptions, read_data
    from mmproscale.own_data.starting_weights import check_starting_weights

    imports = time.perf_counter() - began
    if args.gpus is None:
        args.gpus = torch.cuda.device_count()
    if args.amp and not args.gpus:
        raise InputError("--amp needs a GPU: leave it out, or state --gpus N")
    if args.base is None:
        raise InputError(without_base(find_data(args.data, options_of(SearchOptions, args))))
    out = args.out or default_file(base_name(args.base)[0], args.data)
    check_free([out], args.overwrite)
    if args.convert:
        args.data = converted(args)
    found = find_data(args.data, options_of(SearchOptions, args))
    base = find_base(args.base, found.kind)
    with bars_by_name() as show:
        data = read_data(found, options_of(ReadingOptions, args, config=out), show)
    if args.load_from:
        check_starting_weights(base, args.load_from, data.facts)
    check_free([*data.lists], args.overwrite)
    with Console(stderr=True).status("memory that a crop takes"):
        chosen = choose(base, options_of(TrainingOptions, args), data)
    for path, text in {**data.lists, out: new_config_text(chosen, out)}.items():
        atomic_write_text(path, text)
    config = load_config(out)
    show_choices(chosen, out)
    if not args.no_measure:
        show_time(chosen, config, imports)
    start = command("train") if args.gpus < 2 else several_processes(args.gpus)
    print(f"train:   {start} {out}")


def without_base(found: FoundData) -> str:
    """Return a line that lists the bases for data that was found."""
    from mmproscale.own_data.base_configs import base_names

    names = base_names(found.kind)
    small, usual = (
        ", ".join(name for name in names if name.endswith(end) and not name.startswith("eco"))
        for end in ("_r18", "_r50")
    )
    return (
        f"'{found.root}' holds {found.kind} data: choose --base, on a CPU one of {small}, on a GPU "
        f"one of {usual}, or of another backbone"
    )


def converted(args: argparse.Namespace) -> Path:
    """Convert the data, and return the folder of the result.

    Raises:
        InputError: The data needs no conversion, or it has faults.
    """
    from mmproscale.cli.completion import load
    from mmproscale.own_data.exports import commands, find_export

    export = find_export(args.data)
    if export is None:
        raise InputError(f"--convert: '{args.data}' is no export of YOLO, CVAT or labelme")
    steps, started = export.steps(args.convert, args.things), sys.argv
    lines = [commands([step]) for step in steps]  # spelled by sys.argv, which a step replaces
    for step, line in zip(steps, lines, strict=True):
        print(f"convert: {line}")
        sys.argv = [*step, "--workers", str(args.workers), *["--overwrite"] * args.overwrite]
        load(TOOLS / "datasets" / step[0]).main()
    sys.argv = started  # next commands are spelled as this one was
    return args.convert


def default_file(base: str, data: Path) -> Path:
    """Return the config's place without --out: here, METHOD_m2f_BACKBONE_DATA.py."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in data.absolute().name)
    return Path(f"{base.replace('/', '-')}_{stem.strip('-') or 'mine'}.py")


def options_of(kind: Any, args: argparse.Namespace, **others: Any) -> Any:
    """Make a dataclass from the command line's options that it has as fields."""
    names = (field.name for field in fields(kind) if field.name not in others)
    return kind(**{name: getattr(args, name) for name in names}, **others)


def check_options(args: argparse.Namespace) -> None:
    """Check what can be known before anything is read.

    Raises:
        InputError: The options contradict each other.
    """
    if args.things is not None and not args.convert:
        raise InputError("--things says how to convert labelme's labels: add --convert OUT")
    if args.out and args.out.suffix != ".py":
        raise InputError(f"--out {args.out} is not a config: give a name that ends in .py")
    if args.out:
        check_free([args.out], args.overwrite)


def check_free(paths: list[Path], overwrite: bool) -> None:
    """Raise InputError for a file that exists and may not be replaced."""
    taken = [path for path in paths if path.exists() and not overwrite]
    if taken:
        raise InputError(f"{taken[0]} exists already: give another --out, or add --overwrite")


def show_choices(chosen: Choices, out: Path) -> None:
    """Print the choices and their reasons."""
    from mmproscale.own_data.choice_table import choice_rows, class_rows

    title, console = f"{chosen.base.name} on {chosen.data.found.root}", Console()
    console.print(terminal_table(title, choice_rows(chosen), numbers=False))
    console.print(terminal_table("classes", class_rows(chosen), numbers=False))
    for warning in chosen.data.facts.warnings:
        print(f"warning: {warning}")
    for path in [*chosen.data.lists, out]:
        print(f"written: {path}")


def show_time(chosen: Choices, config: Config, imports: float) -> None:
    """Measure and print how long the training takes on this machine, or why that is unknown."""
    import torch

    from mmproscale.own_data.training_time import lighter_options, training_time
    from mmproscale.training.terse_log import duration

    if chosen.options.gpus and not torch.cuda.is_available():
        print("time:    not measured: PyTorch finds no GPU here; --gpus 0 is for a CPU")
        return
    try:
        with Console(stderr=True).status("a short training, to measure its time"):
            took = training_time(chosen, config, imports)
    except (InputError, RuntimeError) as error:
        print(f"time:    not measured: {(str(error) or type(error).__name__).splitlines()[0]}")
        return
    print(
        f"time:    about {duration(took.total)} on this machine: {took.once:.0f} s for the start, "
        f"{plural(chosen.iterations, 'iteration')} of {took.step:.2f} s, "
        f"{plural(chosen.validations, 'validation')} of {took.validation:.1f} s"
    )
    for line in lighter_options(chosen, took):
        print(f"shorter: {line}")


if __name__ == "__main__":
    main()
