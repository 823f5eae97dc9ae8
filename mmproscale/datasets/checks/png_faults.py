"""How a panoptic PNG can be wrong: its form, its size, its ids against the JSON's segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmengine.fileio import get
from scipy import ndimage

from mmproscale.datasets.checks.annotation_faults import BOX_TOLERANCE
from mmproscale.datasets.checks.faults import Fault, shown

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# PNG specification, IHDR: bit depth is byte 24, colour type byte 25.
NOT_RGB = {
    0: ("png-greyscale", "greyscale"),
    3: ("png-palette", "a palette"),
    4: ("png-greyscale", "greyscale with alpha"),
    6: ("png-alpha", "RGB with alpha"),
}
# From so many ids that the JSON lacks, and more of them than it has: not forgotten, but damaged.
MANY_UNKNOWN = 8


class SegmentMap(NamedTuple):
    """Which segment each pixel belongs to.

    `places` (H, W): 0 for void, k + 1 for segment k, one more than that of the last where the
    JSON lacks the id. `areas` (N + 2,): pixels of each value of `places`.
    """

    places: np.ndarray
    areas: np.ndarray


def read_ids(path: str, backend_args: dict | None = None) -> np.ndarray | Fault:
    """Return the segment id of every pixel, (H, W) int32: R + 256 G + 65536 B, or the fault."""
    try:
        data = bytes(get(path, backend_args=backend_args))
    except OSError as error:
        return unreadable("png", path, error)
    fault = form_fault(data, path)
    if fault is not None:
        return fault
    bgr = _decode(data)
    if bgr is None:
        return unreadable("png", path, None)
    # Four bytes R, G, B, 255 are one little-endian number.
    rgba = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA).view("<i4")[..., 0]
    return np.bitwise_and(rgba, 0xFFFFFF, dtype=np.int32)


def _decode(data: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def unreadable(what: str, path: str, error: Exception | None) -> Fault:
    """The fault of a file that can't be read or decoded.

    Args:
        what: 'image' or 'png'; begins the name of the fault's kind.
        path: the file.
        error: what reading it raised, if anything.
    """
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    reason = getattr(error, "strerror", None) or "it is cut short or not an image"
    if error is None or isinstance(error, (AssertionError, cv2.error)):
        file = Path(path)
        if file.is_file() and file.stat().st_size == 0:
            kind, reason = "empty", "it is an empty file"
    problem = f"({what}) cannot be read ({reason})"
    return Fault(f"{what}-{kind}", path, "", problem, "replace or remove it")


def form_fault(data: bytes, path: str) -> Fault | None:
    """The fault of a file that is no PNG of 8-bit RGB, in which alone ids are what they were.

    Args:
        data: the file's bytes.
        path: its name.
    """
    action = "write ids as 8-bit RGB PNG: id = R + 256 G + 65536 B"
    if not data.startswith(SIGNATURE) and _decode(data) is not None:
        problem = "is another format than PNG: if with loss, as JPEG, its ids are lost"
        return Fault("png-format", path, "", problem, action)
    if not data.startswith(SIGNATURE) or len(data) < 26:
        return unreadable("png", path, None)
    depth, color = data[24], data[25]
    if color in NOT_RGB:
        kind, form = NOT_RGB[color]
        return Fault(kind, path, "", f"is {form}, {depth} bit", action)
    if depth != 8:
        return Fault("png-16-bit", path, "", f"has {depth} bits per channel", action)
    return None


def size_faults(
    what: str, path: str, shape: Sequence[int], size: Sequence[int], of: str
) -> Iterator[Fault]:
    """The fault of an image or PNG whose size is not what it should be.

    Args:
        what: 'image' or 'png'; begins the name of the fault's kind.
        path: the file.
        shape: its height and width.
        size: the expected height and width.
        of: whose these are.
    """
    if tuple(shape[:2]) != tuple(size):
        problem = f"is {shape[1]}x{shape[0]} pixels but {of} is {size[1]}x{size[0]}"
        action = "they must be of one size"
        if tuple(shape[1::-1]) == tuple(size):
            action += " (turned by an EXIF orientation? store the pixels upright)"
        yield Fault(f"{what}-size", path, "", problem, action)


def map_segments(ids: np.ndarray, segment_ids: Sequence[int]) -> SegmentMap:
    """Find the segment of every pixel.

    Args:
        ids: of every pixel, (H, W), 0 for void.
        segment_ids: distinct ids, 1 or more.
    """
    known = np.array([0, *segment_ids], ids.dtype)
    order = np.argsort(known).astype(np.int32)
    flat = ids.ravel()
    # An id is looked up once for each run of it along the rows: these are few.
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    values, lengths = flat[starts], np.diff(starts, append=flat.size)
    runs = order[np.searchsorted(known[order], values).clip(max=len(known) - 1)]
    runs[known[runs] != values] = len(known)
    areas = np.bincount(runs, weights=lengths, minlength=len(known) + 1).astype(np.int64)
    return SegmentMap(np.repeat(runs, lengths).reshape(ids.shape), areas)


def segment_faults(
    ids: np.ndarray, found: SegmentMap, segments: Sequence[dict], path: str
) -> Iterator[Fault]:
    """Faults between a PNG and its image's segments: ids on one side only, areas, boxes.

    Args:
        ids: of every pixel, (H, W).
        found: `map_segments` of them.
        segments: dicts with `id`, and where they are to be compared `area` and `bbox` (x, y, w, h).
        path: the PNG's name.
    """
    unknown = list(_unknown_ids(ids, found, len(segments), path))
    yield from unknown
    if any(fault.kind == "png-ids-damaged" for fault in unknown):
        return
    boxes = ndimage.find_objects(found.places, max_label=len(segments))[: len(segments)]
    for place, (segment, box) in enumerate(zip(segments, boxes, strict=True)):
        field, pixels = f"segment {segment['id']}", int(found.areas[place + 1])
        if box is None:
            action = "remove it from segments_info, or draw it"
            yield Fault(
                "segment-not-in-png", path, field, "is in the JSON and not in the PNG", action
            )
            continue
        if abs(segment.get("area", pixels) - pixels) > 0.5:
            problem = f"has area {segment['area']} in the JSON and {pixels} pixels in the PNG"
            yield Fault("segment-area", path, field, problem, "count its pixels again")
        yield from _box(segment, box, path, field)


def _box(segment: dict, found: tuple[slice, slice], path: str, field: str) -> Iterator[Fault]:
    rows, columns = found
    tight = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
    box = segment.get("bbox", tight)
    if any(abs(a - b) > BOX_TOLERANCE for a, b in zip(box, tight, strict=True)):
        problem = f"has bbox {shown(box)} in the JSON and {tight} in the PNG"
        yield Fault("segment-box", path, field, problem, "compute it from its pixels again")


def _unknown_ids(ids: np.ndarray, found: SegmentMap, known: int, path: str) -> Iterator[Fault]:
    if not found.areas[-1]:
        return
    unknown = np.unique(ids[found.places == known + 1])
    if not known:
        problem = f"is in the PNG, which has {len(unknown)} ids, and the JSON has no segment of it"
        action = "write its segments_info, or make the PNG void (0)"
        yield Fault("segment-not-in-json", path, f"segment {unknown[0]}", problem, action)
        return
    if len(unknown) >= MANY_UNKNOWN and len(unknown) > known:
        problem = f"holds {len(unknown)} ids that the JSON lacks, which has {known} segments"
        action = "it was resized with interpolation, saved with loss or is another image's: replace"
        yield Fault("png-ids-damaged", path, "", problem, action)
        return
    for segment_id in unknown:
        action = "add it to segments_info, or make it void (0)"
        yield Fault(
            "segment-not-in-json",
            path,
            f"segment {segment_id}",
            f"is in the PNG and not in the JSON ({int((ids == segment_id).sum())} pixels)",
            action,
        )
