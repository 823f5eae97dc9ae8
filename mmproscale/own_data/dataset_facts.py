"""What a config has to know of a dataset: its classes, how often each occurs, sizes of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmproscale.datasets.checks.categories import order_categories
from mmproscale.datasets.checks.dataset_check import DatasetFiles, Progress, check_dataset
from mmproscale.datasets.checks.dataset_report import DatasetReport
from mmproscale.errors import InputError
from mmproscale.own_data.coco_layout import INSTANCE, PANOPTIC, SplitFiles


@dataclass(frozen=True)
class Facts:
    """A dataset in numbers.

    Args:
        kind: ``'panoptic'``, ``'instance'`` or ``'semantic'``.
        things: names of the things, in the order of labels.
        stuff: names of the stuff, whose labels follow; all classes of semantic maps.
        counts: for each class, how often it occurs in training: segments, instances, or images
            that show it.
        train_images: images to train on.
        val_images: images to validate on.
        size: (width, height), the medians of the training images.
    """

    kind: str
    things: tuple[str, ...]
    stuff: tuple[str, ...]
    counts: tuple[int, ...]
    train_images: int
    val_images: int
    size: tuple[int, int]

    @property
    def classes(self) -> tuple[str, ...]:
        """All names, in the order of labels."""
        return self.things + self.stuff

    @property
    def counted(self) -> str:
        """What :attr:`counts` are of."""
        return dict(panoptic="segments", instance="instances").get(self.kind, "images")


def check_files(kind: str, files: SplitFiles, workers: int, progress: Progress) -> None:
    """Read a split in COCO's format whole, every image and PNG.

    Raises:
        InputError: it has a fault, or instances without a mask; names the first.
    """
    seg = None if files.seg is None else str(files.seg)
    wanted = DatasetFiles(str(files.ann), str(files.img), seg, panoptic=kind == PANOPTIC)
    report = check_dataset(wanted, limit=1, workers=workers, progress=progress)
    _refuse(report, wanted)
    unmasked = report.notes.get("mask-missing")
    if kind == INSTANCE and unmasked and unmasked.count == report.counts["instances"]:
        raise InputError(f"'{files.ann}' has boxes and no mask: segmentation needs masks")


def _refuse(report: DatasetReport, files: DatasetFiles) -> None:
    if report.clean:
        return
    first = next(iter(report.faults.values()))
    more = sum(found.count for found in report.faults.values()) - 1
    options = f"--ann {files.ann_file} --img {files.img}" + (
        f" --seg {files.seg}" * bool(files.seg)
    )
    listing = f" ({more} more: tools/check_dataset.py {options})" if more else ""
    raise InputError(f"[{first.first[0].kind}] {first.first[0]}{listing}")


def coco_facts(kind: str, train: dict[str, Any], val: dict[str, Any], names: tuple) -> Facts:
    """The facts of two annotation files.

    Args:
        kind: ``'panoptic'`` or ``'instance'``.
        train: what the training JSON holds, checked.
        val: the same of validation.
        names: of both files, for messages.

    Raises:
        InputError: the two list other classes, or the same in another order; nothing is annotated.
    """
    ordered, theirs = (
        _ordered(kind, content["categories"], str(name))
        for content, name in zip((train, val), names, strict=True)
    )
    _check_same(ordered, theirs, names)
    occurrences = Counter(_category_ids(kind, train["annotations"]))
    annotated = _annotated(train)
    if not occurrences:
        raise InputError(f"'{names[0]}' has no {kind} annotation to train on: annotate some images")
    things = sum(bool(category["isthing"]) for category in ordered)
    labels = tuple(category["name"] for category in ordered)
    return Facts(
        kind=kind,
        things=labels[:things],
        stuff=labels[things:],
        counts=tuple(occurrences[category["id"]] for category in ordered),
        train_images=len(annotated),
        val_images=len(val["images"]),
        size=median_size([(image["width"], image["height"]) for image in annotated]),
    )


def median_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Median width and median height."""
    width, height = np.median(np.asarray(sizes), axis=0)
    return round(width), round(height)


def _ordered(kind: str, categories: list[dict], name: str) -> list[dict]:
    """Categories in the order of labels: things first; instances as the file lists them."""
    if kind == PANOPTIC:
        return order_categories(categories, name)
    return [category | dict(isthing=1) for category in categories]


def _check_same(ours: list[dict], theirs: list[dict], names: tuple) -> None:
    """mmdet numbers the classes of each file by itself: the same class must get the same label."""
    mine, other = ([(c["id"], c["name"]) for c in ordered] for ordered in (ours, theirs))
    if mine == other:
        return
    first = next((pair for pair in zip(mine, other, strict=False) if pair[0] != pair[1]), None)
    problem = (
        f"'{first[0][1]}' (id {first[0][0]}) and '{first[1][1]}' (id {first[1][0]})"
        if first
        else f"{len(mine)} and {len(other)} classes"
    )
    raise InputError(
        f"'{names[0]}' and '{names[1]}' differ in their categories: {problem}; list the same, in "
        "one order"
    )


def _category_ids(kind: str, annotations: list[dict]) -> list[int]:
    if kind == INSTANCE:
        return [annotation["category_id"] for annotation in annotations]
    return [s["category_id"] for annotation in annotations for s in annotation["segments_info"]]


def _annotated(content: dict[str, Any]) -> list[dict]:
    ids = {annotation["image_id"] for annotation in content["annotations"]}
    return [image for image in content["images"] if image["id"] in ids]
