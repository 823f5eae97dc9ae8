"""Train a model, with the options of mmdet's tools/train.py."""

import argparse
import os

import mmproscale  # noqa: F401  (compat comes before mmdet)
from mmproscale.checkpoints.model_config import check_source
from mmproscale.cli.command_line import (
    add_cfg_options,
    add_launcher,
    add_verbose,
    at_least,
    command_line,
    positive,
)
from mmproscale.utils.config import load_config, require_keys


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a model")
    parser.add_argument("config", help="config file, or the name of a config of mmproscale")
    parser.add_argument("--work-dir", help="folder for logs and checkpoints")
    parser.add_argument(
        "--amp", action="store_true", help="train in mixed precision: fp16 on GPUs, bf16 on CPUs"
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate to the batch size over all GPUs",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="continue from a checkpoint; default: the latest in the work dir",
    )
    parser.add_argument(
        "--changed-schedule",
        choices=["apply", "refuse"],
        default="apply",
        help="what to do if the config's schedule is not that of the checkpoint to resume: set the "
        "learning rate as if trained with it from the start, or stop; default: %(default)s",
    )
    parser.add_argument(
        "--tracker",
        choices=["tensorboard", "wandb", "mlflow"],
        help="also send numbers and validation pictures to this tracker",
    )
    parser.add_argument(
        "--early-stopping",
        type=at_least(1),
        metavar="N",
        help="end the training after N validations without a better PQ, mIoU or AP",
    )
    parser.add_argument(
        "--ema",
        nargs="?",
        type=positive,
        const=0.001,
        metavar="MOMENTUM",
        help="validate and save an exponential moving average of the weights; default of the new "
        "weights' share at each step: 0.001",
    )
    add_verbose(parser)
    add_cfg_options(parser)
    add_launcher(parser)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    config = load_config(args.config, args.cfg_options)
    require_keys(config, "model", "train_dataloader", "train_cfg", "optim_wrapper")
    check_source(config.load_from if args.resume in (None, "auto") else args.resume)
    # Imported only now: torch takes seconds to import, and a wrong path should fail at once.
    from mmproscale.training.mixed_precision import use_amp
    from mmproscale.training.run_options import add_tracker, average_weights, stop_early
    from mmproscale.training.runs import build_runner, resume, scale_learning_rate, set_up_run

    set_up_run(config, args.config, args.work_dir, args.launcher)
    if args.amp:
        use_amp(config)
    if args.tracker:
        add_tracker(config, args.tracker)
    if args.early_stopping:
        stop_early(config, args.early_stopping)
    if args.ema:
        average_weights(config, args.ema)
    if args.auto_scale_lr:
        scale_learning_rate(config)
    if args.resume:
        resume(config, args.resume, args.changed_schedule)
    build_runner(config, ("train", "val"), not args.verbose).train()


if __name__ == "__main__":
    main()
