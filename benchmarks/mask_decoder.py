"""The mask decoder: mmdet's Mask2Former head against ours, from encoded maps to classes and masks.

Pixel decoders are left out. mmdet's head gets mask features, ours gets the embedding before the
mask projection, and the weights are the same. Both heads end with the last masks at stride 4.
mmdet's computes all ten masks at that size.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from common.benchmark import make_parser, run_benchmark
from common.encoded import decode, head_on_noise
from common.models import model_config, stock_twin, weights_of_stock
from mmengine.config import ConfigDict
from torch import nn

from mmproscale.cli.command_line import add_image_size, command_line
from mmproscale.errors import InputError
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import set_up
from mmproscale.timing.measurement import Stopwatch

CONFIG = "m2f_r50_coco"


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_image_size(parser, "--size", (1024, 2048), least=32)
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


def head_for(model: ConfigDict, size: tuple[int, int], args: argparse.Namespace) -> nn.Module:
    return head_on_noise(model, size, args, weights_of_stock(model_config(CONFIG)))


def check_equal(models: dict[str, ConfigDict], args: argparse.Namespace) -> None:
    """Raise InputError where the heads' masks differ by more than rounding."""
    heads = (head_for(model, (128, 192), args) for model in models.values())
    one, other = (decode(head, args, Stopwatch()) for head in heads)
    if args.precision == "fp32" and not torch.allclose(one, other, rtol=0, atol=1e-3):
        raise InputError("the heads' masks differ: nothing is measured")


def prepare(model: ConfigDict, args: argparse.Namespace) -> Prepared:
    head, small = (head_for(model, size, args) for size in (tuple(args.size), (128, 192)))
    return Prepared(
        run=partial(decode, head, args), warm_up=lambda: decode(small, args, Stopwatch())
    )


if __name__ == "__main__":
    main()
