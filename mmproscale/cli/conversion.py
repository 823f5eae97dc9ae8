"""Shared parts of the command lines that write datasets: options, progress bars, results."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmproscale.errors import InputError
from mmproscale.utils.processes import usable_cores
from mmproscale.utils.progress import bars_by_name
from mmproscale.utils.words import plural

if TYPE_CHECKING:
    from mmproscale.datasets.conversion.output import Conversion, Destination
    from mmproscale.datasets.conversion.summary import Summary
    from mmproscale.datasets.shapes.generation import ShapesSpec


def add_work_options(parser: ArgumentParser) -> None:
    """Add ``--workers`` and ``--overwrite``."""
    parser.add_argument(
        "--workers",
        type=int,
        default=usable_cores(),
        metavar="N",
        help="processes; default: one per core",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def add_output_options(parser: ArgumentParser, what: str = "panoptic") -> None:
    """Add the options of a user's dataset: its place, and :func:`add_work_options`.

    Args:
        parser: The parser.
        what: Beginning of the files' names.
    """
    files = f"DIR/annotations/{what}_NAME.json"
    if what == "panoptic":
        files += " and panoptic_NAME/"
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument(
        "--split",
        default="train",
        metavar="NAME",
        help=f"name of the split in {files}; default: train",
    )
    parser.add_argument("--copy-images", action="store_true", help="copy images to DIR/NAME/")
    add_work_options(parser)


def destination_of(args: Namespace, split: str = "", what: str = "panoptic") -> Destination:
    """Return the destination that the options of :func:`add_output_options` name.

    Args:
        args: The options.
        split: Name of the split; by default that of the options.
        what: Beginning of the files' names.

    Raises:
        InputError: Its JSON exists and may not be replaced.
    """
    from mmproscale.datasets.conversion.output import Destination

    out, split = Path(args.out), split or args.split
    png_folder = out / "annotations" / f"{what}_{split}"
    destination = Destination(png_folder, out / split if args.copy_images else None)
    check_free(destination.json_path, args.overwrite)
    return destination


def check_free(path: Path, overwrite: bool) -> None:
    """Raise InputError if a file exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: name another place, or add --overwrite")


def write_and_report(prepare: Callable[[], Conversion], workers: int) -> None:
    """Prepare and run a conversion with a progress bar, and print its numbers and warnings."""
    from mmproscale.datasets.conversion.output import write_dataset

    with listed_faults():
        conversion = prepare()
        with bars_by_name() as show:
            summary = write_dataset(conversion, workers, show)
    print_summary(conversion.destination.json_path, summary)


def print_summary(path: Path, summary: Summary) -> None:
    """Print the numbers and warnings of a conversion."""
    first, *others = summary.lines()
    print("\n".join([f"wrote {path}: {first}", *others]))


@contextmanager
def listed_faults(limit: int = 20) -> Iterator[None]:
    """Print the faults of a conversion, one a line, where there are several."""
    from mmproscale.datasets.conversion.output import SourcesError

    try:
        yield
    except SourcesError as error:
        if len(error.messages) == 1:
            raise
        for message in error.messages[:limit]:
            print(f"fault: {message}", file=sys.stderr)
        count = len(error.messages)
        listed = "all listed" if count <= limit else f"of which {limit} are listed"
        raise InputError(
            f"{error.messages[0]}; nothing was written for {plural(count, 'fault')}, {listed} above"
        ) from None


def parse_public_args(description: str | None, root_help: str) -> Namespace:
    """Parse the options of a public dataset: its folder, its splits, :func:`add_work_options`."""
    parser = ArgumentParser(description=description)
    parser.add_argument("root", help=root_help)
    splits = ["train", "val"]
    parser.add_argument("--splits", nargs="+", choices=splits, default=splits, help="default: both")
    add_work_options(parser)
    return parser.parse_args()


def convert_public_dataset(
    args: Namespace,
    destination_of_split: Callable[[str, str], Destination],
    prepare: Callable[[str, str], Conversion],
) -> None:
    """Convert each split of a public dataset that does not exist yet.

    Args:
        args: Options of :func:`parse_public_args`.
        destination_of_split: Called as (root, split).
        prepare: Called as (root, split); returns the conversion to run.
    """
    for split in dict.fromkeys(args.splits):
        json_path = destination_of_split(args.root, split).json_path
        if json_path.exists() and not args.overwrite:
            print(f"already there: {json_path}; to make it again, add --overwrite")
        else:
            write_and_report(partial(prepare, args.root, split), args.workers)


def make_shapes_with_progress(folder: str | Path, spec: ShapesSpec, overwrite: bool) -> None:
    """Generate Shapes with a progress bar for each split, and print the outcome.

    Raises:
        InputError: As :func:`mmproscale.datasets.shapes.generation.make_shapes`.
    """
    from mmproscale.datasets.shapes.generation import make_shapes

    with bars_by_name() as show:
        made = make_shapes(folder, spec, overwrite, progress=show)
    print(f"{'made' if made else 'already there:'} {folder}: {spec.train} + {spec.val} images")
