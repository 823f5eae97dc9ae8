"""Convert labelme's JSON files to COCO's panoptic format.

Polygons, rectangles, circles and masks are converted. Shapes with the same label and the same
group_id are one segment. Where shapes overlap, things lie over stuff; within each of these two,
smaller shapes lie over larger ones. The labels _background_ and __ANY__ are void and erase the
shapes before them.
"""

from argparse import ArgumentParser, Namespace

import mmproscale  # noqa: F401  (checks versions before OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_output_options, destination_of, write_and_report


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="folder of labelme's files")
    classes = parser.add_mutually_exclusive_group(required=True)
    classes.add_argument(
        "--things", nargs="*", metavar="LABEL", help="labels of things; all other labels are stuff"
    )
    classes.add_argument(
        "--classes", metavar="FILE", help="class file as for from_maps.py; its names are labels"
    )
    parser.add_argument(
        "--labels-from",
        metavar="DIR",
        help="folder of all splits, whose labels are the classes; default: the folder itself",
    )
    add_output_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert one split."""
    args = parse_args()
    from mmproscale.datasets.conversion import labelme
    from mmproscale.datasets.conversion.output import Conversion
    from mmproscale.datasets.conversion.source_files import read_class_file

    destination = destination_of(args)

    def prepare() -> Conversion:
        files = labelme.read_labelme(args.folder)
        if args.classes:
            categories = read_class_file(args.classes)
        else:
            others = labelme.read_labelme(args.labels_from) if args.labels_from else files
            categories = labelme.categories_of_labels(others, args.things)
        return labelme.prepare_labelme(files, args.folder, categories, destination)

    write_and_report(prepare, args.workers)


if __name__ == "__main__":
    main()
