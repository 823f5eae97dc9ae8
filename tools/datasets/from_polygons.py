"""Convert COCO instances (polygons, run-length codes, crowds) to COCO's panoptic format.

Where outlines overlap, things lie over crowds and crowds over stuff; within each of these three,
smaller outlines lie over larger ones.
"""

from argparse import ArgumentParser, Namespace
from functools import partial

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_output_options, destination_of, write_and_report


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("instances", metavar="INSTANCES.json", help="COCO instances")
    parser.add_argument("images", help="folder of the images that INSTANCES.json names")
    parser.add_argument(
        "--stuff-json", metavar="FILE", help="outlines of stuff, as COCO's stuff_*.json"
    )
    parser.add_argument(
        "--rest", metavar="NAME", help="stuff class of uncovered pixels; default: they are void"
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
    from mmproscale.datasets.conversion.polygons import prepare_polygons

    destination = destination_of(args)
    files = args.instances, args.images, destination, args.stuff_json, args.rest, args.drop
    write_and_report(partial(prepare_polygons, *files), args.workers)


if __name__ == "__main__":
    main()
