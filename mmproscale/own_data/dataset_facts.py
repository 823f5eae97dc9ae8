"""Facts of a dataset: its classes, how often each occurs, its image sizes; and its faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmproscale.datasets.checks.categories import order_categories
from mmproscale.datasets.checks.class_agreement import label_faults
from mmproscale.datasets.checks.dataset_check import DatasetFiles, Progress, check_dataset
from mmproscale.datasets.checks.dataset_report import DatasetReport
from mmproscale.errors import InputError
from mmproscale.own_data.layouts import BOXES, INSTANCE, PANOPTIC, SplitFiles
from mmproscale.utils.command_names import command
from mmproscale.utils.faults import refuse
from mmproscale.utils.words import few

Size = tuple[int, int]


@dataclass(frozen=True)
class Facts:
    """Dataset in numbers.

    Args:
        kind: One of :data:`layouts.KINDS`.
        things: Names of the things, in the order of labels.
        stuff: Names of the stuff, whose labels follow; all classes of semantic maps.
        counts: For each class, its number of segments, instances, or images that show it, in the
            training set.
        train_images: Number of images to train on.
        val_images: Number of images to validate on.
        size: (width, height), the medians of the training images.
        warnings: Lines on labels that may mean something else than they should.
    """

    kind: str
    things: tuple[str, ...]
    stuff: tuple[str, ...]
    counts: tuple[int, ...]
    train_images: int
    val_images: int
    size: Size
    warnings: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """All names, in the order of labels."""
        return self.things + self.stuff

    @property
    def counted(self) -> str:
        """Plural noun for the things that :attr:`counts` counts."""
        nouns = {PANOPTIC: "segments", INSTANCE: "instances", BOXES: "boxes"}
        return nouns.get(self.kind, "images")


def check_coco_files(kind: str, files: SplitFiles, workers: int, progress: Progress) -> None:
    """Check a split in COCO's format: its JSON, every image and every PNG.

    Raises:
        InputError: The split has a fault, or objects of ``'instance'`` lack a mask; names the first
            fault.
    """
    seg = None if files.seg is None else str(files.seg)
    need_masks = {INSTANCE: True, BOXES: False}.get(kind)
    wanted = DatasetFiles(
        str(files.ann), str(files.img), seg, panoptic=kind == PANOPTIC, need_masks=need_masks
    )
    report = check_dataset(wanted, limit=1, workers=workers, progress=progress)
    _refuse(report, wanted)


def _refuse(report: DatasetReport, files: DatasetFiles) -> None:
    if report.clean:
        return
    first = next(iter(report.faults.values())).first[0]
    more = sum(found.count for found in report.faults.values()) - 1
    options = f"--ann {files.ann_file} --img {files.img}"
    options += f" --seg {files.seg}" if files.seg else ""
    listing = f" ({more} more: {command('check-dataset')} {options})" if more else ""
    raise InputError(f"[{first.kind}] {first}{listing}")


def coco_facts(kind: str, train: dict[str, Any], val: dict[str, Any], names: tuple) -> Facts:
    """Count the classes and images of two annotation files.

    Args:
        kind: ``'panoptic'``, ``'instance'`` or ``'boxes'``.
        train: Content of the training JSON, checked.
        val: Content of the validation JSON, checked.
        names: Names of both files, for messages.

    Raises:
        InputError: The two list different classes, or the same in another order; nothing is
            annotated.
    """
    ordered, theirs = (
        _ordered(kind, content["categories"], str(name))
        for content, name in zip((train, val), names, strict=True)
    )
    learned, found = ([c["name"] for c in categories] for categories in (ordered, theirs))
    refuse(label_faults(found, learned, str(names[1]), f"'{names[0]}'"))
    occurrences = Counter(_category_ids(kind, train["annotations"]))
    if not occurrences:
        raise InputError(f"'{names[0]}' has no {kind} annotation to train on: annotate some images")
    groups = _group_names(kind, ordered, train, val)
    ordered = [category for category in ordered if category["name"] not in groups]
    annotated = annotated_images(train)
    things = sum(bool(category["isthing"]) for category in ordered)
    labels = tuple(category["name"] for category in ordered)
    counts = tuple(occurrences[category["id"]] for category in ordered)
    return Facts(
        kind=kind,
        things=labels[:things],
        stuff=labels[things:],
        counts=counts,
        train_images=len(annotated),
        val_images=len(val["images"]),
        size=median_size([(image["width"], image["height"]) for image in annotated]),
        warnings=tuple(_class_warnings(kind, ordered, train["annotations"], groups, names[0])),
    )


def _class_warnings(
    kind: str, categories: list[dict], annotations: list[dict], groups: Sequence[str], file: object
) -> list[str]:
    """Return a line for each class that is left out or occurs as crowd only, and one for absent."""
    occurrences, crowds = (
        Counter(_category_ids(kind, annotations, crowd)) for crowd in (False, True)
    )
    only_crowds = {
        category["name"]: crowds[category["id"]]
        for category in categories
        if crowds[category["id"]] and not occurrences[category["id"]]
    }
    absent = [c["name"] for c in categories if not crowds[c["id"]] and not occurrences[c["id"]]]
    warnings = [
        f"class '{name}' occurs as crowd only ({count}): set iscrowd to 0 if these are single "
        "objects"
        for name, count in only_crowds.items()
    ]
    warnings += [
        f"class '{name}' is left out: it only groups other classes and no object has it"
        for name in groups
    ]
    if absent:
        key = {INSTANCE: "'things'", BOXES: "'classes'"}.get(kind)
        how = f"remove them from {key} in the config" if key else "remove them"
        warnings.append(
            f"{len(absent)} of {len(categories)} classes occur nowhere in '{file}': "
            f"{few(absent)}; to leave them out, {how}"
        )
    return warnings


def annotated_images(content: dict[str, Any]) -> list[dict]:
    """Return the images of a COCO file that have an annotation."""
    ids = {annotation["image_id"] for annotation in content["annotations"]}
    return [image for image in content["images"] if image["id"] in ids]


def median_size(sizes: Sequence[Size]) -> Size:
    """Return the medians of widths and heights."""
    width, height = np.median(np.asarray(sizes), axis=0)
    return round(width), round(height)


def _ordered(kind: str, categories: list[dict], name: str) -> list[dict]:
    """Order categories by label: things first; instances as the file lists them."""
    if kind == PANOPTIC:
        return order_categories(categories, name)
    return [category | dict(isthing=1) for category in categories]


def _group_names(kind: str, categories: list[dict], *contents: dict[str, Any]) -> list[str]:
    """Return classes without an object that are the supercategory of another, as Roboflow adds."""
    if kind == PANOPTIC:
        return []
    used = {a["category_id"] for content in contents for a in content["annotations"]}
    groups = {category.get("supercategory") for category in categories if category["id"] in used}
    return [c["name"] for c in categories if c["id"] not in used and c["name"] in groups]


def _category_ids(kind: str, annotations: list[dict], crowd: bool = False) -> list[int]:
    """Return the category of each object, or of each crowd."""
    lists = [annotations] if kind != PANOPTIC else [a["segments_info"] for a in annotations]
    objects = (entry for entries in lists for entry in entries)
    return [o["category_id"] for o in objects if bool(o.get("iscrowd")) == crowd]
