"""Conversion of YOLO's label files to COCO instances, or to boxes where no row is a polygon.

The label file of ``images/a.jpg`` is ``labels/a.txt``; without a folder ``images`` it lies next to
its image.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mmproscale.datasets.conversion.instance_objects import (
    InstanceImage,
    box_entry,
    mask_entry,
)
from mmproscale.datasets.conversion.output import Conversion, Destination, SourcesError, each
from mmproscale.datasets.conversion.painting import polygons_to_rle
from mmproscale.datasets.conversion.source_files import checked_categories, image_size
from mmproscale.datasets.conversion.summary import Counts
from mmproscale.datasets.conversion.yolo_files import YoloFile
from mmproscale.datasets.conversion.yolo_rows import Row, read_rows
from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import image_ids

Labels = dict[Path, list[Row]]
"""Image -> rows of its label file."""


def read_labels(data: YoloFile, missing_is_empty: bool = False) -> tuple[dict[str, Labels], str]:
    """Read all label files.

    Args:
        data: The dataset.
        missing_is_empty: An image without a label file has no object.

    Returns:
        For each split its labels, and ``'instances'`` or, if all rows are boxes, ``'boxes'``.

    Raises:
        SourcesError: Label files are missing, rows are malformed, or boxes stand among polygons.
    """
    read = partial(_labels_of, classes=len(data.names), missing_is_empty=missing_is_empty)
    found = {
        split: dict(zip(images, each(read, images), strict=True))
        for split, images in data.images.items()
    }
    rows = [row for labels in found.values() for rows in labels.values() for row in rows]
    boxes = [row for row in rows if row.is_box]
    if len(boxes) in (0, len(rows)):
        return found, "boxes" if boxes else "instances"
    polygon = next(row.where for row in rows if not row.is_box)
    raise SourcesError(
        [
            f"{row.where}: a box, but other rows are polygons ({polygon}): draw its outline, or "
            "remove the row"
            for row in boxes
        ]
    )


def _labels_of(image: Path, classes: int, missing_is_empty: bool) -> list[Row]:
    path = next(_label_files(image))
    path = next((place for place in _label_files(image) if place.is_file()), path)
    if path.is_file():
        return read_rows(path, classes)
    if missing_is_empty:
        return []
    raise InputError(
        f"image '{image}' has no label file '{path}': add it, empty if no object is in the image "
        "(--missing-is-empty takes all such images for empty)"
    )


def _label_files(image: Path) -> Iterator[Path]:
    """Yield the places where an image's label file may be, the usual one first."""
    parts = list(image.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        yield Path(*parts).with_suffix(".txt")
    yield image.with_suffix(".txt")


def prepare_yolo(data: YoloFile, labels: Labels, what: str, destination: Destination) -> Conversion:
    """Prepare the conversion of a split.

    Args:
        data: The dataset.
        labels: The split's labels.
        what: ``'instances'`` or ``'boxes'``, as :func:`read_labels` returns it.
        destination: Files and folders to write; images are named from their common folder.
    """
    folder = Path(os.path.commonpath([image.parent for image in labels]))
    names = [image.relative_to(folder) for image in labels]
    ids = image_ids([name.with_suffix("").as_posix() for name in names])
    sources = list(zip(ids, [name.as_posix() for name in names], labels.items(), strict=True))
    entries = [dict(id=n, name=name) for n, name in enumerate(data.names, start=1)]
    categories = checked_categories(entries, f"'{data.path}'", isthing=1)
    return Conversion(sources, _convert, categories, destination, what=what)


def _convert(source: tuple[int, str, tuple[Path, list[Row]]]) -> InstanceImage:
    image_id, name, (path, rows) = source
    height, width = size = image_size(path)
    objects, left_out = [], []
    for row in rows:
        if row.is_box:
            made = box_entry(row.label + 1, row.corners(width, height), size)
        else:
            outline = [row.outline(width, height)]
            made = mask_entry(row.label + 1, polygons_to_rle(outline, *size, row.where), outline)
        if isinstance(made, str):
            left_out.append((made, row.where))
        else:
            objects.append(made)
    counts = Counts(len(objects), left_out)
    return InstanceImage(image_id, name, size, objects, path, counts)
