"""The encoder of a detector: mmdet's DINO against schedules, from the neck's maps to the memory.

The maps are noise, for one image without padding. Token recalibration is measured too, backbone and
decoder are not. mmdet's encoder runs unchanged, and with our attention instead of mmcv's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from common.benchmark import make_parser, run_benchmark
from common.models import build, model_config, stock_detector
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmproscale.cli.command_line import add_image_size, command_line
from mmproscale.errors import InputError
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import autocast, set_up, stock_attention
from mmproscale.timing.measurement import Stopwatch

CONFIGS = [
    "dino_r50_coco",
    "proscale_dino_r50_coco",
    "proscale-2222_dino_r50_coco",
    "lite_dino_r50_coco",
    "lite-x3_dino_r50_coco",
]
Attention = Callable[[], AbstractContextManager]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--configs", nargs="+", default=CONFIGS, help="the first is built from mmdet's parts too"
    )
    add_image_size(parser, "--size", (800, 1088), least=64)
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    stock = stock_detector(model_config(args.configs[0]))
    candidates = {
        "mmdet": partial(prepare, stock, args, stock_attention),
        "mmdet, our attention": partial(prepare, stock, args, nullcontext),
    }
    for name in args.configs:
        candidates[name] = partial(prepare, model_config(name), args, nullcontext)
    check_equal(stock, model_config(args.configs[0]), args)
    case = Case(
        name="{}x{}, one image".format(*args.size),
        settings=dict(configs=args.configs, size=list(args.size)),
        candidates=candidates,
    )
    title = "Detection: the encoder, from the neck's maps to the encoder output"
    run_benchmark(__file__, args, [case], title)


def prepare(model: ConfigDict, args: argparse.Namespace, attention: Attention) -> Prepared:
    detector = without_ends(build(model)).eval().to(args.device)
    return Prepared(
        run=partial(encode, detector, inputs(detector, args, *args.size), args, attention),
        warm_up=lambda: encode(
            detector, inputs(detector, args, 64, 64), args, attention, Stopwatch()
        ),
    )


def without_ends(detector: nn.Module) -> nn.Module:
    """Remove the parts before and after the encoder, which would take memory."""
    del detector.backbone, detector.neck, detector.decoder, detector.bbox_head
    return detector


@torch.no_grad()
def inputs(detector: nn.Module, args: argparse.Namespace, height: int, width: int) -> dict:
    """Return the encoder's arguments for maps of noise with strides 8 to 64."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(-(-height // s), -(-width // s)) for s in (8, 16, 32, 64)]
    maps = [
        torch.randn(1, detector.embed_dims, h, w, generator=generator).to(args.device)
        for h, w in sizes
    ]
    meta = dict(img_shape=(height, width), batch_input_shape=(height, width))
    return detector.pre_transformer(maps, [DetDataSample(metainfo=meta)])[0]


@torch.no_grad()
def encode(
    detector: nn.Module,
    taken: dict,
    args: argparse.Namespace,
    attention: Attention,
    watch: Stopwatch,
) -> Tensor:
    with autocast(args), attention(), watch.part("whole"):
        return detector.forward_encoder(**taken)["memory"]


def check_equal(stock: ConfigDict, ours: ConfigDict, args: argparse.Namespace) -> None:
    """Raise InputError where mmdet's encoder and ours differ by more than rounding."""
    theirs = build(stock)
    detectors = [theirs, build(ours, theirs.state_dict())]
    memories = []
    for detector in detectors:
        detector = without_ends(detector.eval()).to(args.device)
        taken = inputs(detector, args, 128, 192)
        memories.append(encode(detector, taken, args, nullcontext, Stopwatch()))
    if args.precision == "fp32" and not torch.allclose(*memories, rtol=0, atol=1e-4):
        raise InputError("the encoders' memories differ: nothing is measured")


if __name__ == "__main__":
    main()
