"""Write a config for your own data, fitted to your machine.

DIR holds COCO panoptic files, COCO instances, or images and their semantic maps. The tool reads all
of them; if it finds a fault, it names the fault and writes nothing. The new config inherits from
one of ours and states the differences: classes, paths, sizes, batch, rate, schedule. You may change
it afterwards.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import at_least, command_line, make_parser, positive
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.command_names import command, several_processes
from mmproscale.utils.config import load_config
from mmproscale.utils.processes import usable_cores
from mmproscale.utils.progress import bars_by_name
from mmproscale.utils.terminal_table import terminal_table

if TYPE_CHECKING:
    from mmproscale.own_data.choices import Choices


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="folder of your data"
    )
    parser.add_argument(
        "--base",
        required=True,
        help="config to inherit from, METHOD_m2f_BACKBONE, e.g. proscale_m2f_r50 or "
        "proscale_m2f_timm/convnext_tiny",
    )
    parser.add_argument("--gpus", type=at_least(0), default=1, help="number of GPUs; 0 for a CPU")
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
        help="start from a trained model; its classes may differ",
    )
    group.add_argument(
        "--amp", action="store_true", help="mixed precision, so that more images fit"
    )
    group.add_argument(
        "--balance-classes", action="store_true", help="weigh rare classes more, up to 4 times"
    )


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--kind",
        choices=["panoptic", "instance", "semantic"],
        help="kind of data, if DIR holds several",
    )
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
    out = args.out or default_file(args.base, args.data)
    check_options(args, out)
    # Imported only now: torch takes seconds to import, and a wrong option should fail at once.
    from mmproscale.own_data.base_configs import check_starting_weights, find_base
    from mmproscale.own_data.choices import TrainingOptions, choose
    from mmproscale.own_data.config_text import new_config_text
    from mmproscale.own_data.data_search import SearchOptions, find_data
    from mmproscale.own_data.dataset_reading import ReadingOptions, read_data

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
    load_config(out)
    show_choices(chosen, out)


def default_file(base: str, data: Path) -> Path:
    """Return the config's place without --out: here, METHOD_m2f_BACKBONE_DATA.py."""
    stem = "".join(letter if letter.isalnum() else "-" for letter in data.absolute().name)
    return Path(f"{base.replace('/', '-')}_{stem.strip('-') or 'mine'}.py")


def options_of(kind: Any, args: argparse.Namespace, **others: Any) -> Any:
    """Make a dataclass from the command line's options that it has as fields."""
    names = (field.name for field in fields(kind) if field.name not in others)
    return kind(**{name: getattr(args, name) for name in names}, **others)


def check_options(args: argparse.Namespace, out: Path) -> None:
    """Check what can be known before anything is read.

    Raises:
        InputError: The options contradict each other, or the file can't be written.
    """
    if args.amp and not args.gpus:
        raise InputError("--amp needs a GPU: leave it out, or --gpus 0")
    if out.suffix != ".py":
        raise InputError(f"--out {out} is not a config: give a name that ends in .py")
    check_free([out], args.overwrite)


def check_free(paths: list[Path], overwrite: bool) -> None:
    """Raise InputError for a file that exists and may not be replaced."""
    taken = [path for path in paths if path.exists() and not overwrite]
    if taken:
        raise InputError(f"{taken[0]} exists already: give another --out, or add --overwrite")


def show_choices(chosen: Choices, out: Path) -> None:
    """Print the choices, their reasons and the next command."""
    from mmproscale.own_data.choice_table import choice_rows, class_rows

    title, console = f"{chosen.base.name} on {chosen.data.found.root}", Console()
    console.print(terminal_table(title, choice_rows(chosen), numbers=False))
    console.print(terminal_table("classes", class_rows(chosen), numbers=False))
    for warning in chosen.data.facts.warnings:
        print(f"warning: {warning}")
    for path in [*chosen.data.lists, out]:
        print(f"written: {path}")
    gpus = chosen.options.gpus
    start = command("train") if gpus < 2 else several_processes(gpus)
    print(f"train:   {start} {out}")


if __name__ == "__main__":
    main()
