"""Convert the things of COCO panoptic files to COCO instances: instances_SPLIT.json."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import check_free, listed_faults, print_summary
from mmproscale.utils.progress import bars_by_name


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("panoptic", nargs="+", type=Path, help="one or more panoptic_SPLIT.json")
    parser.add_argument(
        "--seg",
        type=Path,
        metavar="DIR",
        help="folder of the PNGs; default: the JSON's path without .json",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="file to write; default: instances_SPLIT.json next to the JSON",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    args = parser.parse_args()
    if len(args.panoptic) > 1 and (args.seg or args.out):
        parser.error("--seg and --out need a single panoptic JSON")
    return args


@command_line
def main() -> None:
    """Convert each file."""
    args = parse_args()
    from mmproscale.datasets.conversion.panoptic_to_instances import (
        convert_to_instances,
        instances_path,
    )

    for path in args.panoptic:
        out = args.out or instances_path(path)
        check_free(out, args.overwrite)
        with listed_faults(), bars_by_name() as show:
            summary = convert_to_instances(path, args.seg or path.with_suffix(""), out, show)
        print_summary(out, summary)


if __name__ == "__main__":
    main()
