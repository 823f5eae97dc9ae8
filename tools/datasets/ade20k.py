"""Bring ADEChallengeData2016 into COCO's panoptic format: ade20k_panoptic_SPLIT.json and PNGs."""

from argparse import ArgumentParser, Namespace
from functools import partial

import mmproscale  # noqa: F401  (checks versions, before anything of OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_work_options, convert_splits


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("root", help="folder that has images, annotations and annotations_instance")
    splits = ["train", "val"]
    parser.add_argument("--splits", nargs="+", choices=splits, default=splits)
    add_work_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert the splits that are not there yet."""
    args = parse_args()
    from mmproscale.datasets.conversion.ade20k import ade20k_destination, convert_ade20k

    convert = partial(convert_ade20k, args.root, workers=args.workers)
    convert_splits(args.splits, partial(ade20k_destination, args.root), convert, args.overwrite)


if __name__ == "__main__":
    main()
