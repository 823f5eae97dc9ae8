"""Inference by part: mmdet's Mask2Former against our configs, on one image.

Weights are random, and equal wherever the models' parameters have the same names. The query decoder
is the head without its pixel decoder, and includes the masks at the image's size. Fusion of masks
to segments is not measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from common.benchmark import make_parser, run_benchmark
from common.models import build, model_config, stock_twin, weights_of_stock
from mmdet.models import Mask2Former
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor

from mmproscale.cli.command_line import add_image_size, at_least, command_line
from mmproscale.models.precision import set_precision
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import autocast, set_up, stock_attention
from mmproscale.timing.measurement import Stopwatch
from mmproscale.timing.model_latency import time_parts

CONFIGS = ["m2f_swin-t_coco", "proscale_m2f_swin-t_coco", "proscale-111_m2f_swin-t_coco"]
Attention = Callable[[], AbstractContextManager]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--configs", nargs="+", default=CONFIGS, help="the first is built from mmdet's parts too"
    )
    add_image_size(parser, "--size", (800, 1088), least=1)
    parser.add_argument("--batch", type=at_least(1), default=1)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    stock = stock_twin(model_config(args.configs[0]))
    candidates = {"mmdet": partial(prepare, stock, args, stock_attention)}
    for name in args.configs:
        candidates[name] = partial(prepare, model_config(name), args, nullcontext)
    height, width = args.size
    case = Case(
        name=f"{height}x{width}, batch {args.batch}",
        settings=dict(configs=args.configs, size=list(args.size), batch=args.batch),
        candidates=candidates,
    )
    run_benchmark(__file__, args, [case], "Inference: from the image to masks of its size")


def prepare(model: ConfigDict, args: argparse.Namespace, attention: Attention) -> Prepared:
    built = build(model, weights_of_stock(model_config(args.configs[0]))).eval().to(args.device)
    set_precision(built, args.precision)
    return Prepared(
        run=partial(predict, built, images(args, *args.size), args, attention),
        warm_up=lambda: predict(built, images(args, 64, 64), args, attention, Stopwatch()),
    )


def images(args: argparse.Namespace, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(args.batch, 3, height, width, generator=generator).to(args.device)


@torch.no_grad()
def predict(
    model: Mask2Former,
    batch: Tensor,
    args: argparse.Namespace,
    attention: Attention,
    watch: Stopwatch,
) -> None:
    head, size = model.panoptic_head, tuple(batch.shape[-2:])
    samples = [DetDataSample(metainfo=dict(img_shape=size, batch_input_shape=size)) for _ in batch]
    with autocast(args), attention():
        time_parts(model, lambda: head.predict(model.extract_feat(batch), samples), watch)


if __name__ == "__main__":
    main()
