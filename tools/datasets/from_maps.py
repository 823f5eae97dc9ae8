"""Bring semantic and instance maps of your own into COCO's panoptic format.

A map is a PNG with its image's path and name. Pixels of a thing class whose instance number is 0
are a crowd.
"""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import mmproscale  # noqa: F401  (checks versions, before anything of OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_output_options, convert_and_report, destination_of


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="images")
    parser.add_argument(
        "--semantic", type=Path, required=True, metavar="DIR", help="a class id for each pixel"
    )
    parser.add_argument(
        "--instance",
        type=Path,
        required=True,
        metavar="DIR",
        help="an instance number for each pixel, as grey, palette or R + 256 G + 65536 B",
    )
    parser.add_argument(
        "--classes",
        required=True,
        metavar="FILE",
        help='JSON list of {"id": 1, "name": "road", "isthing": 0, "color": [128, 64, 128]}',
    )
    parser.add_argument(
        "--ignore", type=int, nargs="*", default=[255], metavar="ID", help="void; default: 255"
    )
    parser.add_argument("--semantic-suffix", default=".png", metavar="END", help="default: .png")
    parser.add_argument("--instance-suffix", default=".png", metavar="END", help="default: .png")
    add_output_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert one split."""
    args = parse_args()
    from mmproscale.datasets.conversion.class_file import read_class_file
    from mmproscale.datasets.conversion.maps import MapFolders, convert_maps

    destination = destination_of(args)
    folders = MapFolders(
        args.images, args.semantic, args.instance, args.semantic_suffix, args.instance_suffix
    )
    convert = partial(
        convert_maps,
        folders,
        read_class_file(args.classes),
        destination,
        ignore=args.ignore,
        workers=args.workers,
    )
    convert_and_report(destination.json_path, convert)


if __name__ == "__main__":
    main()
