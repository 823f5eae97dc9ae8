"""Write a report of an evaluation: one HTML file with figures, confusion and all images.

mmproscale report CONFIG CHECKPOINT               # on its test images; CONFIG as for predict
mmproscale report CONFIG CHECKPOINT --against OTHER_CHECKPOINT
mmproscale report --predictions PRED.json --truth GT.json --images photos/

The file needs no network and no other file. Ground truth and predictions are COCO panoptic: a JSON,
and a folder of PNGs next to it with its name without .json.
"""

from argparse import Namespace
from pathlib import Path

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import add_cfg_options, command_line, make_parser
from mmproscale.reports.evaluation_options import (
    add_evaluation_options,
    check_evaluation_options,
    open_evaluation,
)


def parse_args() -> Namespace:
    """Return the command line's options."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "model", nargs="*", metavar="[CONFIG] CHECKPOINT", help="model whose predictions to show"
    )
    add_evaluation_options(parser)
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write")
    parser.add_argument("--title", help="heading; default: the name of the ground truth")
    add_cfg_options(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    """Compare every image, and write the report."""
    args = parse_args()
    check_evaluation_options(args, args.model)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmproscale.reports.html_report import write_report

    found = open_evaluation(args, args.model)
    title, categories = args.title or found.name, found.truth.categories
    write_report(args.out, title, found.models, categories, found.compared_images())
    size = args.out.stat().st_size / 2**20
    print(f"written to {args.out} ({size:.1f} MiB): open it in a browser")


if __name__ == "__main__":
    main()
