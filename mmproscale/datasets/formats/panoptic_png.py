"""From mmdet's panoptic result to COCO's: an id map, its segments, and the PNG that stores it."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmdet.evaluation.functional import INSTANCE_OFFSET
from scipy import ndimage

from mmproscale.datasets.checks.faults import Fault, refuse
from mmproscale.datasets.checks.png_faults import form_fault, read_ids, unreadable
from mmproscale.errors import InputError

VOID = 0
"""The segment id of pixels that belong to no segment, in COCO's format."""


def segments_of(
    sem_seg: np.ndarray, categories: Sequence[dict[str, Any]], ignore_index: int | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Split mmdet's panoptic map into COCO segments.

    Args:
        sem_seg: (H, W) integers, ``label + instance * INSTANCE_OFFSET``; void is the number of
            classes (what mmdet's fusion heads write) or ``ignore_index``.
        categories: In the order of labels, things first, as ``order_categories`` gives them.
        ignore_index: Another label that means void.

    Returns:
        The id map, (H, W) int32 with 0 for void and segments numbered from 1, and one dict for
        each segment: ``id``, ``label``, ``category_id``, ``isthing``, ``iscrowd`` (0), ``area`` in
        pixels, ``bbox`` as x, y, width, height in pixels.

    Raises:
        InputError: A label that no category has: the model knows more classes than the data.
    """
    values, inverse = np.unique(sem_seg, return_inverse=True)
    labels = labels_of(values, len(categories), ignore_index)
    is_void = labels < 0
    # Ids are counted afresh: label 0 without an instance would otherwise be written as void.
    ids = np.where(is_void, VOID, np.cumsum(~is_void)).astype(np.int32)
    id_map = ids[inverse.reshape(sem_seg.shape)]
    return id_map, _describe(id_map, labels[~is_void], categories)


def labels_of(values: np.ndarray, num_classes: int, ignore_index: int | None = None) -> np.ndarray:
    """Labels of the values of mmdet's panoptic map; -1 for void.

    Args:
        values: ``label + instance * INSTANCE_OFFSET``; void is the label ``num_classes`` (what
            mmdet's fusion heads write), ``ignore_index`` or anything below 0.
        num_classes: How many classes the data has.
        ignore_index: Another label that means void.

    Raises:
        InputError: A label that is no class: the model knows more classes than the data.
    """
    labels = values % INSTANCE_OFFSET
    is_void = (labels == num_classes) | (values < 0)
    if ignore_index is not None:
        is_void |= labels == ignore_index
    if (labels[~is_void] > num_classes).any():
        raise InputError(
            f"prediction holds label {labels[~is_void].max()} but the data has "
            f"{num_classes} classes: set the model's num_things_classes and num_stuff_classes"
        )
    return np.where(is_void, -1, labels)


def _describe(
    id_map: np.ndarray, labels: np.ndarray, categories: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Area and box of segments 1..n of an id map, whose labels are given in that order."""
    areas = np.bincount(id_map.ravel(), minlength=len(labels) + 1)
    boxes = ndimage.find_objects(id_map, max_label=len(labels))
    segments = []
    for index, (label, (rows, columns)) in enumerate(zip(labels, boxes, strict=True), start=1):
        category = categories[label]
        segments.append(
            {
                "id": index,
                "label": int(label),
                "category_id": category["id"],
                "isthing": int(category["isthing"]),
                "iscrowd": 0,
                "area": int(areas[index]),
                "bbox": [
                    columns.start,
                    rows.start,
                    columns.stop - columns.start,
                    rows.stop - rows.start,
                ],
            }
        )
    return segments


def encode_png(id_map: np.ndarray) -> bytes:
    """Encode an id map (H, W) as COCO's PNG: id = R + 256 G + 65536 B."""
    ids = id_map.astype(np.uint32)
    bgr = np.stack([(ids >> 16) & 255, (ids >> 8) & 255, ids & 255], axis=-1).astype(np.uint8)
    encoded, buffer = cv2.imencode(".png", bgr)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a PNG of shape {id_map.shape}")
    return buffer.tobytes()


def read_png(path: str | Path) -> np.ndarray:
    """Read a COCO panoptic PNG into an id map, (H, W) int32.

    Raises:
        InputError: The file is absent, is no image, or no 8-bit RGB.
    """
    ids = read_ids(str(path))
    if isinstance(ids, Fault):
        refuse([ids])
    return ids


def png_shape(path: str | Path) -> tuple[int, int]:
    """(H, W) of a COCO panoptic PNG, from its header.

    Raises:
        InputError: The file is absent, is no PNG, or no 8-bit RGB.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        refuse([unreadable("png", str(path), error)])
    fault = form_fault(data, str(path))
    if fault is not None:
        refuse([fault])
    width, height = struct.unpack(">2I", data[16:24])  # IHDR
    return height, width
