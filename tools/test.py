"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT`` prints PQ, SQ and RQ."""

import argparse
import os

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.apis.command_line import add_cfg_options, add_launcher, command_line
from mmproscale.apis.config import load_config
from mmproscale.apis.runs import build_runner, keep_predictions, set_up_run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--work-dir", help="folder of the log and the metrics")
    parser.add_argument(
        "--out", metavar="PREFIX", help="also write predictions: PREFIX.panoptic.json and PNGs"
    )
    add_cfg_options(parser)
    add_launcher(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    config = load_config(args.config, args.cfg_options)
    set_up_run(config, args.config, args.work_dir, args.launcher)
    config.load_from = args.checkpoint
    if args.out:
        keep_predictions(config, args.out)
    build_runner(config).test()


if __name__ == "__main__":
    main()
