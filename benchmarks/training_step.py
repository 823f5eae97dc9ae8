"""One training step by part: mmdet's Mask2Former against ours, with ResNet-18 and small images.

The model is configs/_base_/models/m2f_r18.py with COCO's classes, and the weights are the same.
--configs names others: that which is built from mmdet's parts, and ours.
Each image has about ten random masks. mmdet computes the masks of every layer in its query decoder.
Our model computes these masks only at the needed points, with the losses. So compare these two
parts together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from common.benchmark import make_parser, run_benchmark
from common.ground_truth import random_batch
from common.models import build, model_config, stock_twin, weights_of_stock
from mmdet.models import Mask2Former
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper

from mmproscale.cli.command_line import add_image_size, at_least, command_line
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import autocast, set_up, stock_attention
from mmproscale.timing.measurement import Stopwatch
from mmproscale.utils.config import CONFIGS

THINGS, STUFF = 80, 53
TITLE = "A training step"
MODEL = CONFIGS / "_base_/models/m2f_r18.py"
OPTIMISER = CONFIGS / "_base_/schedules/adamw_from_scratch.py"
Attention = Callable[[], AbstractContextManager]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--configs", nargs=2, default=[str(MODEL)] * 2, metavar=("STOCK", "OURS"))
    add_image_size(parser, "--size", (256, 256), least=64)
    parser.add_argument("--batch", type=at_least(1), default=4)
    parser.add_argument("--queries", type=at_least(1), default=100)
    parser.add_argument("--decoder-layers", type=at_least(1), default=9)
    parser.add_argument("--points", type=at_least(1), default=12544)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    stock, ours = (make_model(name, args) for name in args.configs)
    height, width = args.size
    case = Case(
        name=f"{height}x{width}, batch {args.batch}, {args.queries} queries, {args.decoder_layers} "
        f"decoder layers, {args.points:,} points",
        settings={k: getattr(args, k) for k in ("batch", "queries", "decoder_layers", "points")}
        | {"size": list(args.size)},
        candidates={
            "mmdet": partial(prepare, stock_twin(stock), args, stock_attention),
            "mmproscale": partial(prepare, ours, args, nullcontext),
        },
    )
    run_benchmark(__file__, args, [case], TITLE)


def make_model(name: str, args: argparse.Namespace) -> ConfigDict:
    """Return a config's model with the sizes of the options."""
    model = model_config(name)
    head = model.panoptic_head
    head.update(num_things_classes=THINGS, num_stuff_classes=STUFF, num_queries=args.queries)
    head.loss_cls.class_weight = [1.0] * (THINGS + STUFF) + [0.1]
    head.transformer_decoder.num_layers = args.decoder_layers
    model.panoptic_fusion_head.update(num_things_classes=THINGS, num_stuff_classes=STUFF)
    model.train_cfg.num_points = args.points
    return model


def prepare(model: ConfigDict, args: argparse.Namespace, attention: Attention) -> Prepared:
    built = (
        build(model, weights_of_stock(make_model(args.configs[0], args))).train().to(args.device)
    )
    config = Config.fromfile(OPTIMISER).optim_wrapper
    if args.precision == "fp16":
        config.update(type="AmpOptimWrapper", loss_scale="dynamic")  # for gradients in fp16
    optim_wrapper = build_optim_wrapper(built, config)
    step = partial(train_step, built, optim_wrapper, args, attention)

    def batch(size: tuple[int, int], images: int) -> dict:
        drawn = random_batch(images, size, THINGS, STUFF)
        return built.data_preprocessor(drawn, training=True)

    return Prepared(
        run=partial(step, batch(tuple(args.size), args.batch)),
        # Any step creates the optimiser's state.
        warm_up=lambda: step(batch((64, 64), 2), Stopwatch()),
    )


def train_step(
    model: Mask2Former,
    optim_wrapper: OptimWrapper,
    args: argparse.Namespace,
    attention: Attention,
    batch: dict,
    watch: Stopwatch,
) -> None:
    head = model.panoptic_head
    # Our head has a method for the network without the losses.
    network = "decode" if isinstance(head, MaskHead) else "forward"
    encode = "embed" if isinstance(head, MaskHead) else "forward"
    with watch.part("whole"):
        with autocast(args), attention():
            with watch.part("backbone"):
                feats = model.extract_feat(batch["inputs"])
            with (
                watch.method(head.pixel_decoder, encode, "pixel decoder"),
                watch.method(head, network, "network"),
                watch.part("head"),
            ):
                loss, _ = model.parse_losses(head.loss(feats, batch["data_samples"]))
        with watch.part("backward"):
            optim_wrapper.backward(loss)
        with watch.part("optimiser"):
            optim_wrapper.step()
    optim_wrapper.zero_grad()
    seconds = watch.seconds
    watch.seconds = {
        "backbone": seconds["backbone"],
        "pixel decoder": seconds["pixel decoder"],
        "query decoder": seconds["network"] - seconds["pixel decoder"],
        "matching, losses": seconds["head"] - seconds["network"],
        "backward": seconds["backward"],
        "optimiser": seconds["optimiser"],
        "whole": seconds["whole"],
    }


if __name__ == "__main__":
    main()
