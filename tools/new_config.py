"""A config for your own data: what is in a folder, and what follows from it for your machine.

DIR holds COCO panoptic files, COCO instances, or images and their semantic maps. They are read
whole: what is wrong with them is said, and nothing written. The new config inherits from one of
ours and says what differs: classes, paths, sizes, batch, rate, schedule. Change it as you like.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import at_least, command_line
from mmproscale.datasets.checks.image_check import default_workers
from mmproscale.errors import InputError
from mmproscale.own_data.base_configs import find_base
from mmproscale.own_data.config_text import config_text
from mmproscale.own_data.data_inspection import KINDS, Named, find_data
from mmproscale.own_data.new_config import NewConfig, Wishes, choose, default_file
from mmproscale.own_data.reading import Reading, read_data
from mmproscale.own_data.starting_weights import check_start
from mmproscale.own_data.table import choice_rows, class_rows, terminal
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.config import load_config
from mmproscale.utils.progress import bars_by_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="your data")
    parser.add_argument(
        "--base", required=True, help="METHOD_m2f_BACKBONE, as configs are named: proscale_m2f_r50"
    )
    parser.add_argument("--gpus", type=at_least(0), default=1, help="how many; 0: a CPU")
    parser.add_argument(
        "--memory", type=positive, default=8.0, metavar="GIB", help="of each GPU, or for the CPU; 8"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="./BASE_DIR.py if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    _add_training_options(parser.add_argument_group("training"))
    _add_data_options(parser.add_argument_group("data, where it is not clear"))
    return parser.parse_args()


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    start = group.add_mutually_exclusive_group()
    start.add_argument(
        "--from-scratch", action="store_true", help="without weights, so without a network"
    )
    start.add_argument(
        "--load-from", metavar="CHECKPOINT", help="start from a trained model; classes may differ"
    )
    group.add_argument("--amp", action="store_true", help="mixed precision: more images fit")
    group.add_argument(
        "--balance-classes", action="store_true", help="weigh rare classes more, up to 4 times"
    )


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--kind", choices=KINDS, help="where DIR holds several")
    for split, name in (("train", "training"), ("val", "validation")):
        group.add_argument(
            f"--{split}-ann",
            type=Path,
            metavar="PATH",
            help=f"{name} JSON, or folder of semantic maps",
        )
        group.add_argument(f"--{split}-img", type=Path, metavar="DIR", help="folder of its images")
        group.add_argument(f"--{split}-seg", type=Path, metavar="DIR", help="of its panoptic PNGs")
    group.add_argument(
        "--val-share",
        type=share,
        metavar="SHARE",
        help="of the training images to validate on, where there is no split for it: 0.1",
    )
    group.add_argument("--seed", type=at_least(0), default=0, help="of that split; 0")
    group.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of semantic classes, one a line"
    )
    group.add_argument(
        "--zero-is-void", action="store_true", help="label 0 of semantic maps is no class"
    )
    group.add_argument("--workers", type=at_least(1), default=default_workers(), metavar="N")


def positive(text: str) -> float:
    """A type for argparse: a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def share(text: str) -> float:
    """A type for argparse: a number between 0 and 1."""
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


@command_line
def main() -> None:
    args = parse_args()
    out = args.out or default_file(args.base, args.data)
    check_options(args, out)
    named = Named(**{key: getattr(args, key) for key in Named.__dataclass_fields__})
    found = find_data(args.data, named)
    base = find_base(args.base, found.kind)
    reading = Reading(out, args.val_share, args.seed, args.workers, args.classes, args.zero_is_void)
    with bars_by_name() as show:
        read = read_data(found, reading, show)
    wishes = Wishes(**{key: getattr(args, key) for key in Wishes.__dataclass_fields__})
    if args.load_from:
        check_start(base, wishes, read.facts)
    check_free([*read.lists], args.overwrite)
    own_split = bool(read.lists)
    with Console(stderr=True).status("memory that a crop takes"):
        new = choose(args.base, base, wishes, read.data, read.facts, read.pairs, own_split)
    for path, text in {**read.lists, out: config_text(new, out)}.items():
        atomic_write_text(path, text)
    load_config(out)
    show_choices(new, out, list(read.lists))


def check_options(args: argparse.Namespace, out: Path) -> None:
    """Raise InputError for what can be known before anything is read."""
    if args.amp and not args.gpus:
        raise InputError("--amp needs a GPU: leave it out, or --gpus 0")
    if out.suffix != ".py":
        raise InputError(f"--out {out} is no config: give a name that ends in .py")
    check_free([out], args.overwrite)


def check_free(paths: list[Path], overwrite: bool) -> None:
    """Raise InputError for a file that is there and may not be replaced."""
    taken = [path for path in paths if path.exists() and not overwrite]
    if taken:
        raise InputError(f"{taken[0]} is there already: another --out, or add --overwrite")


def show_choices(new: NewConfig, out: Path, lists: list[Path]) -> None:
    """What was chosen and why, and what to do next."""
    console = Console()
    console.print(terminal(f"{new.name} on {new.data.root}", choice_rows(new)))
    console.print(terminal("classes", class_rows(new)))
    for path in [*lists, out]:
        print(f"written: {path}")
    gpus = new.wishes.gpus
    print(
        f"train:   python tools/train.py {out}"
        if gpus < 2
        else f"train:   tools/dist_train.sh {out} {gpus}"
    )


if __name__ == "__main__":
    main()
