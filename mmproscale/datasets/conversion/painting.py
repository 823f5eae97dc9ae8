"""Regions that may overlap, painted into one map of segments.

From the bottom up: stuff, crowds, things; among these the larger under the smaller, since what lies
on something is drawn smaller than it; of equal ones the later in the file is on top. A region of
which nothing is left is no segment. Regions of one stuff class, and crowds of one class, become one
segment.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.panoptic_output import describe_segments
from mmproscale.datasets.formats.panoptic_png import VOID
from mmproscale.errors import InputError

FARTHEST = 1e6  # pixels; an outline is walked pixel by pixel, outside the image too


@dataclass(frozen=True)
class Region:
    """A part of an image that someone outlined.

    Args:
        category_id: Of its class.
        isthing: Whether that is a thing.
        rle: COCO's compressed run-length code of its mask.
        is_crowd: Whether it is many things, not told apart.
    """

    category_id: int
    isthing: bool
    rle: dict[str, Any]
    is_crowd: bool = False


def paint(
    regions: Sequence[Region], height: int, width: int, rest: int | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Paint regions over one another, as the module says.

    Args:
        regions: In the file's order.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        rest: Id of the stuff class that the pixels of no region belong to; None for void.

    Returns:
        The (H, W) int32 map of segment ids and COCO's ``segments_info``.
    """
    numbers: dict[Any, int] = {}
    meaning = {}
    of_region = []
    for index, region in enumerate(regions):
        is_one = region.isthing and not region.is_crowd
        number = numbers.setdefault(
            index if is_one else ("all", region.category_id), len(numbers) + 1
        )
        meaning[number] = region.category_id, int(region.isthing and region.is_crowd)
        of_region.append(number)
    ids = np.full((height, width), VOID, np.int32)
    for index in sorted(range(len(regions)), key=lambda index: _height(regions[index])):
        ids[rle_tools.decode(regions[index].rle) > 0] = of_region[index]
    if rest is not None:
        number = numbers.setdefault(("all", rest), len(numbers) + 1)
        meaning[number] = rest, 0
        ids[ids == VOID] = number
    return ids, describe_segments(ids, meaning)


def _height(region: Region) -> tuple[int, float]:
    layer = 0 if not region.isthing else 1 if region.is_crowd else 2
    return layer, -float(rle_tools.area(region.rle))


def polygons_to_rle(
    polygons: Sequence[Sequence[float]], height: int, width: int, where: str
) -> dict[str, Any]:
    """The mask of polygons together, as COCO's tools draw it.

    Args:
        polygons: Each x1, y1, x2, y2, ... in pixels, of three points or more.
        height: Of the image.
        width: Of the image.
        where: The file and the region's place in it, for messages.

    Raises:
        InputError: Too few numbers, or what is none.
    """
    for polygon in polygons:
        is_list = isinstance(polygon, (list, tuple)) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not is_list or not all(_is_coordinate(value) for value in polygon):
            raise InputError(
                f"{where}: a polygon is no list x1, y1, x2, y2, ... of three points or more"
            )
    if not polygons:
        raise InputError(f"{where}: no polygon")
    return rle_tools.merge(rle_tools.frPyObjects([list(p) for p in polygons], height, width))


def _is_coordinate(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) < FARTHEST


def mask_to_rle(mask: np.ndarray) -> dict[str, Any]:
    """COCO's run-length code of a mask (H, W)."""
    return rle_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
