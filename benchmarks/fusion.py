"""Fusion of one image: mmdet's MaskFormerFusionHead against ours, both from masks at stride 4.

mmdet's mask head resizes all masks to the padded image's size before its fusion head, so that step
is measured too. Ours resizes only the masks that survive the score threshold.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from common.benchmark import make_parser, run_benchmark
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor

from mmproscale.cli.command_line import add_image_size, at_least, command_line
from mmproscale.errors import InputError
from mmproscale.models.fusion import UniversalFusionHead
from mmproscale.timing.comparison import Case, Prepared
from mmproscale.timing.conditions import set_up
from mmproscale.timing.measurement import Stopwatch

THINGS, STUFF = 8, 11
TEST_CFG = dict(
    panoptic_on=True,
    instance_on=False,
    object_mask_thr=0.8,
    iou_thr=0.8,
    filter_low_score=True,
    max_per_image=100,
)
Fuse = Callable[[Tensor, Tensor, list[DetDataSample]], list[dict]]


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_image_size(parser, "--size", (1024, 2048), least=4)
    parser.add_argument("--queries", type=at_least(1), default=100)
    parser.add_argument("--kept", type=at_least(0), default=20, help="queries above the threshold")
    return parser.parse_args()


@command_line
def main() -> None:
    args = parse_args()
    set_up(args)
    cases = [make_case("panoptic", args), make_case("instance", args)]
    run_benchmark(__file__, args, cases, "Fusion: from masks at stride 4 to results")


def make_case(kind: str, args: argparse.Namespace) -> Case:
    """Return the case of one kind of results; both heads must agree on them."""
    config = ConfigDict(TEST_CFG, panoptic_on=kind == "panoptic", instance_on=kind == "instance")
    heads = {"mmdet": partial(resize_and_fuse, MaskFormerFusionHead(THINGS, STUFF, config))}
    ours = UniversalFusionHead(THINGS, STUFF, config)
    heads["mmproscale"] = partial(ours.predict, rescale=True)
    check_equal(heads, predictions(args, (64, 96)))
    height, width = args.size
    return Case(
        name=f"{kind}, {height}x{width}, {args.queries} queries, {args.kept} kept",
        settings=dict(kind=kind, size=list(args.size), queries=args.queries, kept=args.kept),
        candidates={name: partial(prepare, fuse, args) for name, fuse in heads.items()},
    )


def predictions(
    args: argparse.Namespace, size: tuple[int, int]
) -> tuple[Tensor, Tensor, list[DetDataSample]]:
    """Return class logits (1, Q, C + 1), mask logits (1, Q, H / 4, W / 4) and a data sample."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.zeros(1, args.queries, THINGS + STUFF + 1)
    classes[..., -1] = 9.0
    for query in range(min(args.kept, args.queries)):
        classes[0, query, query % (THINGS + STUFF)] = 18.0
    coarse = 4 * torch.randn(1, args.queries, 8, 16, generator=generator)
    small = size[0] // 4, size[1] // 4
    masks = F.interpolate(coarse, small, mode="bicubic", align_corners=False)
    meta = dict(batch_input_shape=size, img_shape=size, ori_shape=size)
    device = args.device
    return classes.to(device), masks.to(device), [DetDataSample(metainfo=meta)]


def resize_and_fuse(
    head: MaskFormerFusionHead, classes: Tensor, masks: Tensor, samples: list[DetDataSample]
) -> list[dict]:
    """Do the work of mmdet's Mask2FormerHead.predict and then of its fusion head."""
    size = samples[0].metainfo["batch_input_shape"]
    masks = F.interpolate(masks, size, mode="bilinear", align_corners=False)
    return head.predict(classes, masks, samples, rescale=True)


def check_equal(heads: dict[str, Fuse], inputs: tuple) -> None:
    """Raise InputError where the heads' results differ."""
    one, other = (fuse(*inputs)[0] for fuse in heads.values())
    for key in one:
        parts = ("sem_seg",) if key == "pan_results" else ("labels", "masks", "bboxes")
        for part in parts:
            if not torch.equal(getattr(one[key], part), getattr(other[key], part)):
                raise InputError(f"{key}.{part} of the two heads differ: nothing is measured")


@torch.no_grad()
def prepare(fuse: Fuse, args: argparse.Namespace) -> Prepared:
    inputs, small = predictions(args, tuple(args.size)), predictions(args, (64, 96))

    def run(watch: Stopwatch) -> None:
        with torch.no_grad(), watch.part("whole"):
            fuse(*inputs)

    return Prepared(run=run, warm_up=lambda: fuse(*small))


if __name__ == "__main__":
    main()
