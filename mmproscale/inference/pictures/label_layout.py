"""Layout of a panoptic picture's labels: inside their segments and not on each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

_MIN_AREA = 0.0008
"""Smallest area of a labelled segment, as a share of the picture."""

_MIN_RADIUS = 0.25
"""Smallest radius of a circle that fits into a labelled segment, in heights of its label."""


@dataclass(frozen=True)
class PlacedLabel:
    """Text of a segment and its box in pixels of the picture: left, top, right, bottom."""

    segment_id: int
    text: str
    box: tuple[int, int, int, int]


def label_texts(
    segments: Sequence[dict[str, Any]], categories: Sequence[dict[str, Any]], scores: bool = False
) -> dict[int, str]:
    """Return the text of each segment id: its class, numbered where a thing class has several.

    With ``scores`` the score follows where a segment has one.
    """
    by_id = {category["id"]: category for category in categories}
    totals: dict[int, int] = {}
    for segment in segments:
        totals[segment["category_id"]] = totals.get(segment["category_id"], 0) + 1
    counts: dict[int, int] = {}
    texts = {}
    for segment in segments:
        category = by_id[segment["category_id"]]
        counts[category["id"]] = number = counts.get(category["id"], 0) + 1
        numbered = category.get("isthing", 1) and totals[category["id"]] > 1
        text = f"{category['name']} {number}" if numbered else category["name"]
        text += f" {segment['score']:.2f}" if scores and "score" in segment else ""
        texts[segment["id"]] = f"{text} (crowd)" if segment.get("iscrowd") else text
    return texts


def place_labels(
    id_map: np.ndarray,
    segments: Sequence[dict[str, Any]],
    texts: dict[int, str],
    measure: Callable[[str], tuple[int, int]],
) -> list[PlacedLabel]:
    """Place each label at the most interior free point of its segment, large segments first.

    Args:
        id_map: (H, W) segment ids at the size of the picture.
        segments: Each with ``id``. Segments that are too small or have no free point get no label.
        texts: Text of each segment id.
        measure: Function that returns the width and height of a text with its margin, in pixels.
    """
    picture = id_map.shape
    areas = dict(zip(*np.unique(id_map, return_counts=True), strict=True))
    placed: list[PlacedLabel] = []
    for segment in sorted(segments, key=lambda s: -areas.get(s["id"], 0)):
        segment_id = segment["id"]
        if areas.get(segment_id, 0) < _MIN_AREA * id_map.size:
            continue
        size = measure(texts[segment_id])
        centre = _interior_point(id_map == segment_id, size, [label.box for label in placed])
        if centre is not None:
            box = _box_around(centre, size, picture)
            placed.append(PlacedLabel(segment_id, texts[segment_id], box))
    return placed


def _interior_point(
    mask: np.ndarray, size: tuple[int, int], taken: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int] | None:
    """Return the (x, y) deepest inside ``mask`` where a box of ``size`` covers no taken box."""
    # The picture's edge counts as an edge of the segment, so that labels keep away from it.
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    width, height = size
    for left, top, right, bottom in taken:
        rows = slice(max(top - height // 2 - 1, 0), bottom + height // 2 + 2)
        columns = slice(max(left - width // 2 - 1, 0), right + width // 2 + 2)
        depth[rows, columns] = 0
    if depth.max() < _MIN_RADIUS * height:
        return None
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def _box_around(
    centre: tuple[int, int], size: tuple[int, int], picture: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return a box of ``size`` around ``centre``, moved inside the picture."""
    left = min(max(centre[0] - size[0] // 2, 0), max(picture[1] - size[0], 0))
    top = min(max(centre[1] - size[1] // 2, 0), max(picture[0] - size[1], 0))
    return left, top, left + size[0], top + size[1]
