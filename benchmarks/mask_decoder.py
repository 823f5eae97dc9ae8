"""The mask decoder: mmdet's Mask2Former head against ours, from encoded maps to classes and masks.

Pixel decoders are left out: each head is given what its own would return, mmdet's the mask features
and ours the embedding before the mask projection, from the same weights. Both end with the last
masks at stride 4. mmdet's computes all ten at that size.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from common.benchmark import make_parser, run_benchmark
from common.encoded import GivenMaps
from common.models import build, model_config, stock_twin, weights_of_stock
from mmdet.models import Mask2Former
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmproscale.cli.command_line import command_line
from mmproscale.errors import InputError
from mmproscale.models.heads.mask_head import MaskHead
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.measurement import Stopwatch
from mmproscale.timing.measuring_options import at_least, autocast, set_up

CONFIG = "m2f_r50_coco"


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--size", nargs=2, type=at_least(32), default=(1024, 2048), metavar=("H", "W")
    )
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    ours = model_config(CONFIG)
    models = {"mmdet": stock_twin(ours), "mmproscale": ours}
    check_equal(models, args)
    case = Case(
        name="{}x{}, {} queries".format(*args.size, ours.panoptic_head.num_queries),
        settings=dict(config=CONFIG, size=list(args.size)),
        candidates={name: partial(prepare, model, args) for name, model in models.items()},
    )
    run_benchmark(__file__, args, [case], "Mask decoder: from encoded maps to classes and masks")


@torch.no_grad()
def head_for(model: ConfigDict, args: argparse.Namespace, size: tuple[int, int]) -> nn.Module:
    """The model's head on encoded maps of noise."""
    weights = weights_of_stock(model_config(CONFIG))
    built: Mask2Former = build(model, weights).eval().to(args.device)
    generator = torch.Generator().manual_seed(0)
    *maps, embedding = (
        torch.randn(1, 256, size[0] // s, size[1] // s, generator=generator).to(args.device)
        for s in (32, 16, 8, 4)
    )
    head = built.panoptic_head
    head.pixel_decoder = GivenMaps(head.pixel_decoder.mask_feature, maps, embedding)
    return head


@torch.no_grad()
def decode(head: nn.Module, args: argparse.Namespace, watch: Stopwatch) -> Tensor:
    """The last masks at stride 4."""
    with autocast(args), watch.part("whole"):
        if isinstance(head, MaskHead):
            return head.decode(None).masks()
        return head([head.pixel_decoder.embedding], [DetDataSample(metainfo={})])[1][-1]


def check_equal(models: dict[str, ConfigDict], args: argparse.Namespace) -> None:
    """InputError where the heads' masks differ by more than rounding."""
    heads = (head_for(model, args, (128, 192)) for model in models.values())
    one, other = (decode(head, args, Stopwatch()) for head in heads)
    if not args.amp and not torch.allclose(one, other, rtol=0, atol=1e-3):
        raise InputError("the heads' masks differ: nothing is measured")


def prepare(model: ConfigDict, args: argparse.Namespace) -> Prepared:
    head = head_for(model, args, tuple(args.size))
    small = head_for(model, args, (128, 192))
    return Prepared(
        run=partial(decode, head, args), warm_up=lambda: decode(small, args, Stopwatch())
    )


if __name__ == "__main__":
    main()
