"""Faults between a panoptic PNG and the JSON: ids, areas and boxes of its segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mmproscale.datasets.checks.annotation_faults import BOX_TOLERANCE
from mmproscale.datasets.formats.panoptic_png import tight_box
from mmproscale.utils.faults import Fault, excerpt

# So many unknown ids, and more of them than known ones, come from damage and not from omission.
MANY_UNKNOWN = 8


class SegmentMap(NamedTuple):
    """Map of the segment that each pixel belongs to.

    Attributes:
        places: (H, W); 0 for void, k + 1 for segment k of N, N + 1 where the JSON lacks the id.
        areas: (N + 2,) pixels of each value of `places`.
    """

    places: np.ndarray
    areas: np.ndarray


def map_segments(ids: np.ndarray, segment_ids: Sequence[int]) -> SegmentMap:
    """Find the segment of every pixel.

    Args:
        ids: (H, W) id of each pixel; 0 for void.
        segment_ids: distinct ids above 0.
    """
    known = np.array([0, *segment_ids], ids.dtype)
    order = np.argsort(known).astype(np.int32)
    flat = ids.ravel()
    # Runs of an id along the rows are few: each is looked up once.
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    values, lengths = flat[starts], np.diff(starts, append=flat.size)
    runs = order[np.searchsorted(known[order], values).clip(max=len(known) - 1)]
    runs[known[runs] != values] = len(known)
    areas = np.bincount(runs, weights=lengths, minlength=len(known) + 1).astype(np.int64)
    return SegmentMap(np.repeat(runs, lengths).reshape(ids.shape), areas)


def segment_faults(
    ids: np.ndarray, found: SegmentMap, segments: Sequence[dict], path: str
) -> Iterator[Fault]:
    """Yield faults between a PNG and its image's segments: ids on one side only, areas, boxes.

    Args:
        ids: (H, W) id of each pixel.
        found: `map_segments` of `ids`.
        segments: dicts with `id`; `area` and `bbox` (x, y, w, h) are compared where they are there.
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
            problem = "is in the JSON and not in the PNG"
            action = "remove it from segments_info, or draw it"
            yield Fault("segment-not-in-png", path, field, problem, action)
            continue
        if abs(segment.get("area", pixels) - pixels) > 0.5:
            problem = f"has area {segment['area']} in the JSON and {pixels} pixels in the PNG"
            yield Fault("segment-area", path, field, problem, "count its pixels again")
        yield from _box(segment, box, path, field)


def _box(segment: dict, found: tuple[slice, slice], path: str, field: str) -> Iterator[Fault]:
    tight = tight_box(found)
    box = segment.get("bbox", tight)
    if any(abs(a - b) > BOX_TOLERANCE for a, b in zip(box, tight, strict=True)):
        problem = f"has bbox {excerpt(box)} in the JSON and {tight} in the PNG"
        yield Fault("segment-box", path, field, problem, "compute it from its pixels again")


def _unknown_ids(ids: np.ndarray, found: SegmentMap, known: int, path: str) -> Iterator[Fault]:
    if not found.areas[-1]:
        return
    unknown = np.unique(ids[found.places == known + 1])
    if not known:
        problem = f"is in the PNG, which has {len(unknown)} ids, but the JSON has no segments"
        action = "write its segments_info, or make the PNG void (0)"
        yield Fault("segment-not-in-json", path, f"segment {unknown[0]}", problem, action)
        return
    if len(unknown) >= MANY_UNKNOWN and len(unknown) > known:
        problem = f"holds {len(unknown)} ids that the JSON lacks, which has {known} segments"
        action = "it was resized with interpolation, saved with loss or is another image's: replace"
        yield Fault("png-ids-damaged", path, "", problem, action)
        return
    for segment_id in unknown:
        pixels, field = int((ids == segment_id).sum()), f"segment {segment_id}"
        problem = f"is in the PNG and not in the JSON ({pixels} pixels)"
        action = "add it to segments_info, or make it void (0)"
        yield Fault("segment-not-in-json", path, field, problem, action)
