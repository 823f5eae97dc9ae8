"""Bring labelme's JSON files into COCO's panoptic format.

Polygons, rectangles, circles and masks count; shapes of one label and one group_id are one segment.
Where shapes overlap, things lie over stuff, and among these the smaller area is on top.
"""

from argparse import ArgumentParser, Namespace
from functools import partial

import mmproscale  # noqa: F401  (checks versions, before anything of OpenMMLab is imported)
from mmproscale.cli.command_line import command_line
from mmproscale.cli.conversion import add_output_options, convert_and_report, destination_of


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="folder of labelme's files")
    classes = parser.add_mutually_exclusive_group(required=True)
    classes.add_argument("--things", nargs="*", metavar="LABEL", help="the others are stuff")
    classes.add_argument(
        "--classes", metavar="FILE", help="classes as from_maps.py takes them, by label"
    )
    add_output_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Convert one split."""
    args = parse_args()
    from mmproscale.datasets.conversion import labelme
    from mmproscale.datasets.conversion.class_file import read_class_file

    destination = destination_of(args)
    files = labelme.read_labelme(args.folder)
    if args.classes:
        categories = read_class_file(args.classes)
    else:
        categories = labelme.categories_of_labels(files, args.things)
    convert = partial(
        labelme.convert_labelme, files, args.folder, categories, destination, workers=args.workers
    )
    convert_and_report(destination.json_path, convert)
    skipped = sum(file.skipped for file in files)
    if skipped:
        print(f"left out {skipped} points and lines, which have no area")


if __name__ == "__main__":
    main()
