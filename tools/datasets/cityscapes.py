"""Bring Cityscapes into COCO's panoptic format: gtFine/cityscapes_panoptic_SPLIT.json and PNGs."""

from argparse import ArgumentParser, Namespace
from functools import partial

import mmproscale  # noqa: F401  (checks versions, before anything of OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_work_options, convert_splits


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder that has leftImg8bit and gtFine")
    splits = ["train", "val"]
    parser.add_argument("--splits", nargs="+", choices=splits, default=splits)
    add_work_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert the splits that are not there yet."""
    args = parse_args()
    from mmproscale.datasets.conversion.cityscapes import cityscapes_destination, convert_cityscapes

    convert = partial(convert_cityscapes, args.root, workers=args.workers)
    convert_splits(args.splits, partial(cityscapes_destination, args.root), convert, args.overwrite)


if __name__ == "__main__":
    main()
