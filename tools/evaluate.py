"""Score panoptic results of any model, from their files.

Both sides are COCO panoptic: a JSON, and a folder of PNGs. PQ, SQ and RQ equal panopticapi's.
"""

import argparse
import json
from collections.abc import Iterable
from typing import Any

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.cli.command_line import command_line
from mmproscale.errors import InputError
from mmproscale.utils.json_values import nan_to_null
from mmproscale.utils.progress import progress_bars

EPILOG = """\
The JSON has `all`, `things`, `stuff` and `per_class` (by category id, as text), each with `pq`,
`sq` and `rq` in 0..1; the options add `semantic`, `instance` and `per_image`. A class that occurs
on neither side has 0, as in panopticapi, with `tp`, `fp` and `fn` of 0, and is left out of means.
Null means undefined: the mean over a group without a class that occurs, the IoU of a class that
occurs on neither side, the AP of a class without an instance.
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("truth", metavar="GT.json", help="ground truth")
    parser.add_argument(
        "predictions", metavar="PRED.json", help="predictions for all images of GT.json"
    )
    parser.add_argument(
        "--gt-dir", help="PNGs of the ground truth; by default GT.json's path without .json"
    )
    parser.add_argument(
        "--pred-dir", help="PNGs of the predictions; by default PRED.json's path without .json"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--classwise", action="store_true", help="list every class in the table")
    parser.add_argument("--per-image", action="store_true", help="add PQ of each image to the JSON")
    parser.add_argument(
        "--semantic",
        action="store_true",
        help="also compute mIoU; a void pixel in a prediction is an error",
    )
    parser.add_argument(
        "--instances",
        nargs="?",
        const="",
        metavar="GT_INSTANCES.json",
        help="also compute COCO's mask AP against these instances; default: the things of GT.json",
    )
    parser.add_argument(
        "--instance-results",
        metavar="DETECTIONS.json",
        help="detections for AP, in COCO's results format; if not given, the segments of PRED.json "
        "by their `score`, or 1 without a `score`",
    )
    parser.add_argument(
        "--ap-backend", choices=["hotcoco", "pycocotools"], default="hotcoco", help="library for AP"
    )
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    if args.instance_results and args.instances is None:
        raise InputError("--instance-results is for AP: add --instances")
    # Imported only now: torch takes seconds to import.
    from mmproscale.evaluation.ground_truth import InstanceGroundTruth, PanopticGroundTruth
    from mmproscale.evaluation.image_score import ImageScorer
    from mmproscale.evaluation.report import report_table
    from mmproscale.evaluation.stored_predictions import (
        PanopticResults,
        detections_by_image,
        score_results,
    )

    truth = PanopticGroundTruth(args.truth, args.gt_dir)
    more = ["semantic"] * args.semantic + ["instance"] * (args.instances is not None)
    instances = InstanceGroundTruth(args.instances, truth) if args.instances else None
    detections = (
        detections_by_image(args.instance_results, truth) if args.instance_results else None
    )
    report = score_results(
        PanopticResults(args.predictions, args.pred_dir, truth),
        ImageScorer(truth, more, instances) if more else None,
        detections,
        args.per_image,
        args.ap_backend,
        with_bar,
    )
    if args.json:
        print(json.dumps(nan_to_null(report), indent=1))
    else:
        print(report_table(report, truth.categories, args.classwise))


def with_bar(scores: Iterable[Any], total: int) -> Iterable[Any]:
    """Yield the scores, with a progress bar on stderr over the images."""
    with progress_bars() as bars:
        yield from bars.track(scores, total=total, description="images")


if __name__ == "__main__":
    main()
