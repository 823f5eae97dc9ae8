"""Bring COCO instances (polygons, run-length codes, crowds) into COCO's panoptic format.

Where outlines overlap, things lie over crowds and these over stuff; among these the smaller area is
on top.
"""

from argparse import ArgumentParser, Namespace
from functools import partial

import mmproscale  # noqa: F401  (checks versions, before anything of OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_output_options, convert_and_report, destination_of


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("instances", metavar="INSTANCES.json", help="COCO instances")
    parser.add_argument("images", help="folder of the images that it names")
    parser.add_argument(
        "--stuff-json", metavar="FILE", help="the same for stuff, as COCO's stuff_*"
    )
    parser.add_argument(
        "--rest", metavar="NAME", help="stuff class of what nothing covers; default: it is void"
    )
    parser.add_argument(
        "--drop", nargs="+", default=[], metavar="NAME", help="classes to leave out (COCO: other)"
    )
    add_output_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert one split."""
    args = parse_args()
    from mmproscale.datasets.conversion.polygons import convert_polygons

    destination = destination_of(args)
    convert = partial(
        convert_polygons,
        args.instances,
        args.images,
        destination,
        stuff=args.stuff_json,
        rest=args.rest,
        drop=args.drop,
        workers=args.workers,
    )
    convert_and_report(destination.json_path, convert)


if __name__ == "__main__":
    main()
