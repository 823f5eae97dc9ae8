"""Shared parts of the command lines that write datasets: options, progress bars, results."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmproscale.errors import InputError
from mmproscale.utils.processes import usable_cores
from mmproscale.utils.progress import bars_by_name

if TYPE_CHECKING:
    from mmproscale.datasets.conversion.output import Conversion, Destination
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


def add_output_options(parser: ArgumentParser) -> None:
    """Add the options of a user's dataset: its place, and :func:`add_work_options`."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument(
        "--split",
        default="train",
        metavar="NAME",
        help="DIR/annotations/panoptic_NAME.json and panoptic_NAME/ are written; default: train",
    )
    parser.add_argument("--copy-images", action="store_true", help="copy images to DIR/NAME/")
    add_work_options(parser)


def destination_of(args: Namespace) -> Destination:
    """Return the destination that the options of :func:`add_output_options` name.

    Raises:
        InputError: Its JSON exists and may not be replaced.
    """
    from mmproscale.datasets.conversion.output import Destination

    out = Path(args.out)
    png_folder = out / "annotations" / f"panoptic_{args.split}"
    destination = Destination(png_folder, out / args.split if args.copy_images else None)
    check_free(destination.json_path, args.overwrite)
    return destination


def check_free(path: Path, overwrite: bool) -> None:
    """Raise InputError if a file exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: name another place, or add --overwrite")


def write_and_report(conversion: Conversion, workers: int) -> None:
    """Run a conversion with a progress bar, and print the numbers of images and segments."""
    from mmproscale.datasets.conversion.output import write_dataset

    with bars_by_name() as show:
        content = write_dataset(conversion, workers, show)
    segments = sum(len(annotation["segments_info"]) for annotation in content["annotations"])
    things = sum(category["isthing"] for category in content["categories"])
    print(
        f"wrote {conversion.destination.json_path}: {len(content['images'])} images, {segments} "
        f"segments, {things} things and {len(content['categories']) - things} stuff classes"
    )


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
            write_and_report(prepare(args.root, split), args.workers)


def make_shapes_with_progress(folder: str | Path, spec: ShapesSpec, overwrite: bool) -> None:
    """Generate Shapes with a progress bar for each split, and print the outcome.

    Raises:
        InputError: As :func:`mmproscale.datasets.shapes.generation.make_shapes`.
    """
    from mmproscale.datasets.shapes.generation import make_shapes

    with bars_by_name() as show:
        made = make_shapes(folder, spec, overwrite, progress=show)
    print(f"{'made' if made else 'already there:'} {folder}: {spec.train} + {spec.val} images")
