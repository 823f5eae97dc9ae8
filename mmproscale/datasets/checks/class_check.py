"""Whether the classes of annotation files are those of the config, of its model, of each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmproscale.datasets.checks.class_agreement import box_count_faults, count_faults, label_faults
from mmproscale.datasets.checks.dataset_files import DatasetFiles
from mmproscale.datasets.checks.dataset_report import DatasetReport
from mmproscale.datasets.checks.faults import Fault
from mmproscale.datasets.checks.instance_faults import unknown_class_faults
from mmproscale.datasets.formats.panoptic_files import (
    class_metainfo,
    class_name_faults,
    order_categories,
)


def class_faults(categories: list[dict], files: DatasetFiles) -> Iterator[Fault]:
    """Faults between categories, themselves in order, and what the config states of classes."""
    stated = dict(files.metainfo)
    if not files.panoptic:
        yield from unknown_class_faults(stated.get("classes", ()), categories, files.ann_file)
    elif stated:
        metainfo = class_metainfo(order_categories(categories, files.ann_file))
        yield from class_name_faults(stated, metainfo, files.ann_file)
    if files.model_classes is not None:
        names = class_names(categories, files)
        stuff = sum(files.panoptic and not category["isthing"] for category in categories)
        found = (len(names) - stuff, stuff)
        yield from count_faults(found, files.model_classes, files.ann_file, "model.panoptic_head")
    if files.box_classes is not None:
        found_boxes = len(class_names(categories, files))
        yield from box_count_faults(found_boxes, files.box_classes, files.ann_file)


def class_names(categories: list[dict], files: DatasetFiles) -> tuple[str, ...]:
    """The names of classes by label, as the reader numbers them."""
    if files.panoptic and files.things_first:
        return class_metainfo(order_categories(categories, files.ann_file))["classes"]
    stated = None if files.panoptic else dict(files.metainfo).get("classes")
    names = (category["name"] for category in categories)
    return tuple(name for name in names if stated is None or name in stated)


def compare_datasets(files: Sequence[DatasetFiles], reports: Sequence[DatasetReport]) -> None:
    """Add to reports the faults of datasets of one config whose labels mean different things.

    Args:
        files: of each dataset, the training set's first.
        reports: that `check_dataset` made of them.
    """
    first = next((place for place, report in enumerate(reports) if report.classes), None)
    if first is None:
        return
    learned, source = reports[first].classes or (), files[first].ann_file
    for dataset, report in zip(files, reports, strict=True):
        if report.classes is not None:
            report.add(label_faults(report.classes, learned, dataset.ann_file, source))
