"""Convert YOLO's label files to COCO instances, or to boxes where no row is a polygon.

DATA is a data.yaml (Ultralytics, Roboflow, CVAT), an obj.data (CVAT's YOLO 1.1), a classes.txt
(Label Studio), or the folder with one of these. annotations/instances_SPLIT.json is written for
each split. A box among polygons, a missing label file and a malformed row are faults.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import (
    add_work_options,
    destination_of,
    listed_faults,
    write_and_report,
)


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="description, or its folder")
    parser.add_argument(
        "--splits",
        nargs="+",
        choices=["train", "val", "test"],
        default=["train", "val"],
        help="splits to convert, where DATA has them; default: train val",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the dataset; default: that of DATA"
    )
    parser.add_argument("--copy-images", action="store_true", help="copy images to DIR/SPLIT/")
    parser.add_argument(
        "--missing-is-empty",
        action="store_true",
        help="an image without a label file has no object",
    )
    add_work_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert each split."""
    args = parse_args()
    from mmproscale.datasets.conversion.yolo import prepare_yolo, read_labels
    from mmproscale.datasets.conversion.yolo_files import read_yolo

    args.out = args.out or (args.data if args.data.is_dir() else args.data.parent)
    data = read_yolo(args.data, args.splits)
    with listed_faults():
        labels, what = read_labels(data, args.missing_is_empty)
    places = {split: destination_of(args, split, "instances") for split in labels}
    for split, place in places.items():
        write_and_report(lambda: prepare_yolo(data, labels[split], what, place), args.workers)  # noqa: B023


if __name__ == "__main__":
    main()
