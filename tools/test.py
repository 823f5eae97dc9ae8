"""Evaluate a checkpoint on its dataset: PQ, SQ and RQ, or mIoU, or AP.

``--kinds panoptic semantic instance`` adds mIoU and AP from the same forward pass, as in papers.
``--tta`` averages over each image and its mirror image, and with ``--scales`` also over sizes. For
a model with early exits, the exits that images took and their mean GFLOPs as run are printed. All
figures, also of each class, are written to ``WORK_DIR/metrics.json``.
"""

import argparse
import os
from pathlib import Path

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.checkpoints.model_config import (
    building_for,
    check_data_is_known,
    load_config_for,
)
from mmproscale.cli.command_line import (
    MixedParser,
    add_cfg_options,
    add_launcher,
    add_model,
    add_precision,
    add_verbose,
    command_line,
)
from mmproscale.errors import InputError
from mmproscale.inference.image_views import add_view_options, average_over, views_from_options
from mmproscale.utils.config import require_keys


def parse_args() -> argparse.Namespace:
    parser = MixedParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser, "config file, or the name of a config of mmproscale")
    parser.add_argument("--work-dir", help="folder for the log and the metrics")
    parser.add_argument(
        "--out",
        metavar="PREFIX",
        help="also write predictions: PREFIX.panoptic.json and PNGs, or PNGs in PREFIX.semantic",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=["panoptic", "semantic", "instance"],
        help="kinds of results to score, all from one forward pass: PQ, mIoU, AP",
    )
    parser.add_argument(
        "--instances",
        metavar="JSON",
        help="COCO instances to score AP against, instead of the panoptic things",
    )
    parser.add_argument(
        "--classwise", action="store_true", help="also print the figures of each class"
    )
    add_precision(parser)
    add_view_options(parser)
    add_verbose(parser)
    add_cfg_options(parser)
    add_launcher(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    views = views_from_options(args)
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    if args.instances and "instance" not in (args.kinds or ()):
        raise InputError("--instances is for AP: add --kinds panoptic semantic instance")
    if args.out and args.kinds and "panoptic" not in args.kinds:
        raise InputError("--out writes panoptic predictions: add panoptic to --kinds")
    config = load_config_for(args.config, args.checkpoint, args.cfg_options)
    if args.config is None:
        check_data_is_known(args.checkpoint, args.cfg_options)
    require_keys(config, "model", "test_dataloader", "test_cfg", "test_evaluator")
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmengine.device import get_device

    from mmproscale.models.precision import check_precision
    from mmproscale.training.runs import (
        build_runner,
        check_scorable,
        evaluate_and_report,
        keep_predictions,
        list_classes,
        report_exits,
        score_kinds,
        set_up_run,
    )

    check_precision(args.precision, get_device())
    set_up_run(config, config.filename, args.work_dir, args.launcher)
    config.load_from = args.checkpoint
    check_scorable(config)
    if args.kinds:
        score_kinds(config, args.kinds, args.instances)
    if args.out:
        keep_predictions(config, args.out)
    if args.classwise:
        list_classes(config)
    if views:  # last: it wraps the model
        average_over(config, views)
    else:
        report_exits(config)
    with building_for(args.checkpoint, args.config):
        runner = build_runner(config, ("test",), not args.verbose)
    out = Path(config.work_dir) / "metrics.json"
    evaluate_and_report(runner, out, "tools/test.py", args.precision)


if __name__ == "__main__":
    main()
