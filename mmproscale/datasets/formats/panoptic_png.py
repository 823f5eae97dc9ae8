"""COCO's panoptic PNGs: reading, writing, and the id map and segments of a prediction."""

from __future__ import annotations

import os.path as osp
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmengine.fileio import get
from scipy import ndimage

from mmproscale.datasets.formats.images import decode_image, unreadable
from mmproscale.errors import InputError
from mmproscale.utils.faults import Fault, accept, refuse
from mmproscale.utils.integer_maps import distinct

VOID = 0
"""The segment id of pixels that belong to no segment, in COCO's format."""
MAX_ID = 2**24 - 1
"""The largest segment id that a PNG can hold: R + 256 G + 65536 B."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG specification, IHDR: bit depth is byte 24, colour type byte 25.
_NOT_RGB = {
    0: ("png-greyscale", "greyscale"),
    3: ("png-palette", "a palette"),
    4: ("png-greyscale", "greyscale with alpha"),
    6: ("png-alpha", "RGB with alpha"),
}


def png_name(image: dict, annotation: dict) -> str:
    """Return the name of an annotation's PNG: its `file_name`, or its image's with '.png'."""
    return annotation.get("file_name") or osp.splitext(image["file_name"])[0] + ".png"


def read_png(path: str | Path, backend_args: dict | None = None) -> np.ndarray:
    """Read a panoptic PNG into an id map, (H, W) int32: R + 256 G + 65536 B.

    Args:
        path: the PNG, local or on any of mmengine's file backends.
        backend_args: mmengine's choice of file backend.

    Raises:
        InputError: the file is absent, not an image, or not a PNG of 8-bit RGB.
    """
    return accept(read_png_or_fault(str(path), backend_args))


def read_png_or_fault(path: str, backend_args: dict | None = None) -> np.ndarray | Fault:
    """Read a panoptic PNG as `read_png`, but return a fault instead of raising it."""
    try:
        data = bytes(get(path, backend_args=backend_args))
    except OSError as error:
        return unreadable("png", path, error)
    fault = _form_fault(data, path)
    if fault is not None:
        return fault
    bgr = decode_image(data)
    if bgr is None:
        return unreadable("png", path)
    # Four bytes R, G, B, 255 are one little-endian number.
    rgba = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA).view("<i4")[..., 0]
    return np.bitwise_and(rgba, 0xFFFFFF, dtype=np.int32)


def png_shape(path: str | Path) -> tuple[int, int]:
    """Return (H, W) of a panoptic PNG, read from its header.

    Raises:
        InputError: the file is absent or not a PNG of 8-bit RGB.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        refuse([unreadable("png", str(path), error)])
    fault = _form_fault(data, str(path))
    if fault is not None:
        refuse([fault])
    width, height = struct.unpack(">2I", data[16:24])  # IHDR
    return height, width


def _form_fault(data: bytes, path: str) -> Fault | None:
    """Return the fault of a file that is not a PNG of 8-bit RGB: other forms change the ids."""
    action = "write ids as 8-bit RGB PNG: id = R + 256 G + 65536 B"
    if not data.startswith(_SIGNATURE) and decode_image(data) is not None:
        problem = "is another format than PNG: if with loss, as JPEG, its ids are lost"
        return Fault("png-format", path, "", problem, action)
    if not data.startswith(_SIGNATURE) or len(data) < 26:
        return unreadable("png", path)
    depth, color = data[24], data[25]
    if color in _NOT_RGB:
        kind, form = _NOT_RGB[color]
        return Fault(kind, path, "", f"is {form}, {depth} bit", action)
    if depth != 8:
        return Fault("png-16-bit", path, "", f"has {depth} bits per channel", action)
    return None


def encode_png(id_map: np.ndarray) -> bytes:
    """Encode an id map (H, W) as COCO's PNG: id = R + 256 G + 65536 B."""
    ids = id_map.astype(np.uint32)
    bgr = np.stack([(ids >> 16) & 255, (ids >> 8) & 255, ids & 255], axis=-1).astype(np.uint8)
    encoded, buffer = cv2.imencode(".png", bgr)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a PNG of shape {id_map.shape}")
    return buffer.tobytes()


def segments_of(
    sem_seg: np.ndarray,
    categories: Sequence[dict[str, Any]],
    ignore_index: int | None = None,
    scores: Mapping[int, float] | None = None,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Split mmdet's panoptic map into COCO segments.

    Args:
        sem_seg: (H, W) integers, ``label + instance * INSTANCE_OFFSET``; void is the number of
            classes (which mmdet's fusion heads write) or ``ignore_index``.
        categories: in the order of labels, things first, as ``order_categories`` gives them.
        ignore_index: another label that means void.
        scores: scores of values of ``sem_seg``, in 0..1.

    Returns:
        The id map, (H, W) int32 with 0 for void and segments numbered from 1, and one dict for
        each segment: ``id``, ``label``, ``category_id``, ``isthing``, ``iscrowd`` (0), ``area`` in
        pixels, ``bbox`` as x, y, width, height in pixels, and ``score`` where there is one.

    Raises:
        InputError: a label that no category has: the model has more classes than the data.
    """
    values, places = distinct(sem_seg)
    labels = labels_of(values, len(categories), ignore_index)
    is_void = labels < 0
    # Ids are numbered again: label 0 without an instance would otherwise be written as void.
    ids = np.where(is_void, VOID, np.cumsum(~is_void)).astype(np.int32)
    id_map = ids[places]
    segments = _segment_infos(id_map, labels[~is_void], categories)
    for segment, value in zip(segments, values[~is_void].tolist(), strict=True):
        if scores and value in scores:
            segment["score"] = scores[value]
    return id_map, segments


def labels_of(values: np.ndarray, num_classes: int, ignore_index: int | None = None) -> np.ndarray:
    """Return the labels of values of mmdet's panoptic map; -1 for void.

    Args:
        values: ``label + instance * INSTANCE_OFFSET``; void is the label ``num_classes`` (which
            mmdet's fusion heads write), ``ignore_index`` or anything below 0.
        num_classes: number of classes of the data.
        ignore_index: another label that means void.

    Raises:
        InputError: a label is not among these: the model has more classes than the data.
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


def _segment_infos(
    id_map: np.ndarray, labels: np.ndarray, categories: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Describe segments 1..n of an id map (H, W), whose labels are given in that order."""
    areas = np.bincount(id_map.ravel(), minlength=len(labels) + 1)
    boxes = ndimage.find_objects(id_map, max_label=len(labels))
    return [
        {
            "id": index,
            "label": int(label),
            "category_id": categories[label]["id"],
            "isthing": int(categories[label]["isthing"]),
            "iscrowd": 0,
            "area": int(areas[index]),
            "bbox": tight_box(box),
        }
        for index, (label, box) in enumerate(zip(labels, boxes, strict=True), start=1)
    ]


def tight_box(found: tuple[slice, slice]) -> list[int]:
    """Return x, y, width, height in pixels of the rows and columns of scipy's `find_objects`."""
    rows, columns = found
    return [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
