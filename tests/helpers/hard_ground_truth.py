"""Ground truth that is empty or odd, for every family's batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from helpers.heads import SIZE
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor, nn

VOID = 255
MANY = 40  # every family's small model has fewer queries


def kind_of(model: nn.Module) -> str:
    """Return 'boxes', 'semantic' or 'panoptic'."""
    if hasattr(model, "bbox_head"):
        return "boxes"
    return "semantic" if hasattr(model, "decode_head") else "panoptic"


def empty(sample: Any, kind: str) -> None:
    """Leave nothing that is annotated."""
    if kind != "semantic":
        _set_instances(sample, kind, torch.zeros(0, 4))
    _set_void(sample, kind)


def crowd_only(sample: Any, kind: str) -> None:
    """Leave a crowd: ignored boxes, or a thing's label in the map with no instance."""
    empty(sample, kind)
    if kind == "boxes":
        sample.ignored_instances = InstanceData(
            bboxes=torch.tensor([[2.0, 2.0, 20.0, 20.0]]), labels=torch.tensor([0])
        )
    elif kind == "panoptic":
        sample.gt_sem_seg.sem_seg[:, :20] = 1


def zero_area(sample: Any, kind: str) -> None:
    """Leave an instance without area, or a class of one pixel."""
    empty(sample, kind)
    if kind == "semantic":
        sample.gt_sem_seg.data[:, 3, 3] = 1
    else:
        _set_instances(sample, kind, torch.tensor([[5.0, 5.0, 5.0, 5.0], [9.0, 3.0, 9.0, 30.0]]))


def more_than_queries(sample: Any, kind: str) -> None:
    """Annotate more objects than there are queries; a map has as many classes as it can."""
    if kind == "semantic":
        pixels = sample.gt_sem_seg.data
        pixels[:] = torch.arange(pixels.numel()).view_as(pixels) % 11
        return
    corners = torch.arange(MANY)[:, None].expand(-1, 4) + torch.tensor([0.0, 0.0, 6.0, 9.0])
    _set_instances(sample, kind, corners)


def _set_instances(sample: Any, kind: str, boxes: Tensor) -> None:
    labels = torch.arange(len(boxes)) % 5
    if kind == "boxes":
        sample.gt_instances = InstanceData(bboxes=boxes.float(), labels=labels)
        return
    masks = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    masks = BitmapMasks(masks.numpy(), SIZE, SIZE)
    sample.gt_instances = InstanceData(masks=masks, labels=labels)


def _set_void(sample: Any, kind: str) -> None:
    if kind == "semantic":
        sample.gt_sem_seg.data = torch.full_like(sample.gt_sem_seg.data, VOID)
    elif kind == "panoptic":
        sample.gt_sem_seg.sem_seg = torch.full_like(sample.gt_sem_seg.sem_seg, VOID)


def _all(change: Callable) -> Callable:
    def change_all(samples: list[Any], kind: str) -> None:
        for sample in samples:
            change(sample, kind)

    return change_all


# Name -> function that changes the samples of a batch in place.
CASES: dict[str, Callable[[list[Any], str], None]] = {
    "empty": _all(empty),
    "one empty": lambda samples, kind: empty(samples[0], kind),
    "crowd only": _all(crowd_only),
    "void only": _all(lambda sample, kind: _set_void(sample, kind)),
    "zero area": _all(zero_area),
    "more objects than queries": _all(more_than_queries),
}
