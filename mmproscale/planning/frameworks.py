"""What a plan has to choose from in Mask2Former, and in the detectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from mmproscale.planning.published import COCO, COCO_BOXES, CONV, LPE

UNPUBLISHED = "unpublished"
"""The dataset of what no paper has a figure of."""
DETECTION_LEVELS = (64, 32, 16, 8)
Schedules = Callable[[int], Iterator[dict[str, Any]]]


def mask2former_schedules(max_repeats: int, max_layers: int = 6) -> Iterator[dict[str, Any]]:
    """PRO-SCALE of up to ``max_repeats`` layers a stage, M2F and Lite of up to ``max_layers``."""
    for repeats in product(range(1, max_repeats + 1), repeat=3):
        yield dict(type="pro_scale", repeats=repeats)
    for layers in range(1, max_layers + 1):
        yield dict(type="m2f", layers=layers)
    for layers in range(1, max_layers):
        yield dict(type="lite", coarse_layers=layers)


def detection_schedules(max_repeats: int, max_layers: int = 6) -> Iterator[dict[str, Any]]:
    """The same over strides 64 to 8; PRO-SCALE in three stages too, Lite in blocks as well."""
    levels = dict(levels=DETECTION_LEVELS)
    for stages in (DETECTION_LEVELS, ((64, 32), 16, 8)):
        for repeats in product(range(1, max_repeats + 1), repeat=len(stages)):
            yield dict(type="pro_scale", repeats=repeats, levels=stages)
    for layers in range(1, max_layers + 1):
        yield dict(type="m2f", layers=layers) | levels
    for blocks in range(1, max_layers // 2 + 1):
        for layers in range(1, max_layers // blocks):
            fields = dict(type="lite", coarse_layers=layers, blocks=blocks)
            yield fields | levels | dict(fine_channels=256)


@dataclass(frozen=True)
class Framework:
    """A family of configs, ``METHOD_NAME_BACKBONE_coco.py``.

    Args:
        name: As configs name it.
        dataset: Whose published figures count.
        ordered_by: The backbone whose rows order encoders where there are too few of another.
        embeddings: Pixel embeddings to choose from; None alone where masks are not made.
        schedules: Encoders to choose from, for the most layers of a stage.
        figures: What the paper's figures are.
    """

    name: str
    dataset: str
    ordered_by: str
    embeddings: tuple[str | None, ...]
    schedules: Schedules
    figures: str


FRAMEWORKS = {
    "m2f": Framework(
        "m2f", COCO, "swin-t", (LPE, CONV), mask2former_schedules, "PQ, mIoU, AP (paper)"
    ),
    "dino": Framework("dino", COCO_BOXES, "r50", (None,), detection_schedules, "AP (paper)"),
    **{
        name: Framework(name, UNPUBLISHED, "r50", (None,), detection_schedules, "AP (paper)")
        for name in ("ddq", "deformable-detr")
    },
}
M2F, DINO = FRAMEWORKS["m2f"], FRAMEWORKS["dino"]
