"""Convert your own semantic and instance maps to COCO's panoptic format.

A map is a PNG with its image's path and name. Pixels of a thing class whose instance number is 0
are a crowd.
"""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_output_options, destination_of, write_and_report


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of the images"
    )
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
        "--ignore",
        type=int,
        nargs="*",
        default=[255],
        metavar="ID",
        help="class ids that are void; default: 255",
    )
    for option in ("--semantic-suffix", "--instance-suffix"):
        parser.add_argument(
            option, default=".png", metavar="END", help="ending of the maps' names; default: .png"
        )
    add_output_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert one split."""
    args = parse_args()
    from mmproscale.datasets.conversion.maps import MapFolders, prepare_maps
    from mmproscale.datasets.conversion.source_files import read_class_file

    destination = destination_of(args)
    folders = MapFolders(
        args.images, args.semantic, args.instance, args.semantic_suffix, args.instance_suffix
    )
    categories = read_class_file(args.classes)
    prepare = partial(prepare_maps, folders, categories, destination, args.ignore)
    write_and_report(prepare, args.workers)


if __name__ == "__main__":
    main()
