"""Convert CVAT's XML ("CVAT for images 1.1") to COCO instances, or to boxes.

Polygons, masks and ellipses become instances, and boxes between them rectangles. If all shapes are
boxes, they stay boxes without masks. CVAT's COCO export needs no conversion, and its YOLO exports
are converted by from_yolo.py.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_output_options, destination_of, write_and_report


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("xml", type=Path, metavar="XML", help="annotations.xml")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the images; default: images/ next to the XML, or the XML's folder",
    )
    parser.add_argument(
        "--subset", default="", metavar="NAME", help="subset of CVAT's; default: all images"
    )
    parser.add_argument(
        "--stuff",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="labels that are stuff when from_polygons.py makes panoptic data of the instances",
    )
    add_output_options(parser, "instances")
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert one split."""
    args = parse_args()
    from mmproscale.datasets.conversion.cvat import prepare_cvat, read_cvat
    from mmproscale.datasets.conversion.output import Conversion

    place = destination_of(args, what="instances")

    def prepare() -> Conversion:
        return prepare_cvat(read_cvat(args.xml), place, args.images, args.subset, args.stuff)

    write_and_report(prepare, args.workers)


if __name__ == "__main__":
    main()
