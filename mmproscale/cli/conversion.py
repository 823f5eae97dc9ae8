"""What the command lines in tools/datasets share: options, progress, what is said at the end."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmproscale.utils.processors import usable_cores
from mmproscale.utils.progress import bars_by_name

if TYPE_CHECKING:
    from mmproscale.datasets.conversion.panoptic_output import Destination


def add_work_options(parser: ArgumentParser) -> None:
    """Add ``--workers`` and ``--overwrite``."""
    parser.add_argument(
        "--workers",
        type=int,
        default=usable_cores(),
        metavar="N",
        help="processes; default: one per core",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def add_output_options(parser: ArgumentParser) -> None:
    """Add where a dataset of one's own goes, and :func:`add_work_options`."""
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
    """Where :func:`add_output_options` say that it goes.

    Raises:
        InputError: It is there already, and not to be overwritten.
    """
    from mmproscale.datasets.conversion.panoptic_output import Destination

    destination = Destination.of_split(args.out, args.split, args.copy_images)
    destination.check_free(args.overwrite)
    return destination


def convert_and_report(json_path: Path, convert: Callable[..., dict[str, Any]]) -> None:
    """Call ``convert(progress=...)`` with a progress bar, and say what was written."""
    with bars_by_name() as show:
        content = convert(progress=show)
    segments = sum(len(annotation["segments_info"]) for annotation in content["annotations"])
    things = sum(category["isthing"] for category in content["categories"])
    print(
        f"wrote {json_path}: {len(content['images'])} images, {segments} segments, "
        f"{things} things and {len(content['categories']) - things} stuff classes"
    )


def convert_splits(
    splits: Iterable[str],
    place: Callable[[str], Destination],
    convert: Callable[..., dict[str, Any]],
    overwrite: bool,
) -> None:
    """Convert each split of a public dataset that is not there yet.

    Args:
        splits: Their names.
        place: Where a split goes.
        convert: Called as ``convert(split=..., progress=...)``.
        overwrite: Whether to replace those that are there.
    """
    for split in dict.fromkeys(splits):
        json_path = place(split).json_path
        if json_path.exists() and not overwrite:
            print(f"already there: {json_path}; to make it again, add --overwrite")
        else:
            convert_and_report(json_path, lambda progress, s=split: convert(s, progress=progress))
