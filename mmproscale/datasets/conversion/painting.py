"""Painting of regions, which may overlap, into one map of segments.

The order from bottom to top is stuff, crowds, things. Within each of these, smaller regions lie
over larger ones, and of regions with equal areas the later one in the file is on top. A region
without visible pixels becomes no segment. All regions of a stuff class become one segment, and so
do all crowds of a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as rle_tools

from mmproscale.datasets.formats.panoptic_png import VOID
from mmproscale.errors import InputError

FARTHEST = 1e6  # pixels; COCO's tools follow outlines pixel by pixel, also outside the image


@dataclass(frozen=True)
class Region:
    """Outlined part of an image.

    Args:
        category_id: Id of its class.
        isthing: True for a thing class.
        rle: COCO's compressed run-length code of its mask.
        is_crowd: True for several things in one outline.
    """

    category_id: int
    isthing: bool
    rle: dict[str, Any]
    is_crowd: bool = False


class Painted(NamedTuple):
    """Map of segments.

    Attributes:
        ids: (H, W) int32 segment ids.
        meaning: Segment id -> (category id, crowd flag), also for hidden regions.
        visible: Places of the regions that have a pixel.
    """

    ids: np.ndarray
    meaning: dict[int, tuple[int, int]]
    visible: frozenset[int]


def paint(regions: Sequence[Region], height: int, width: int, rest: int | None = None) -> Painted:
    """Paint regions over one another, in the order that the module describes.

    Args:
        regions: Regions in the file's order.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        rest: Id of the stuff class of pixels that no region covers; None leaves them void.
    """
    segment_ids: dict[Any, int] = {}
    meaning: dict[int, tuple[int, int]] = {}
    id_of_region = [VOID]
    for index, region in enumerate(regions):
        is_one = region.isthing and not region.is_crowd
        key = index if is_one else ("all", region.category_id)
        segment_id = segment_ids.setdefault(key, len(segment_ids) + 1)
        meaning[segment_id] = region.category_id, int(region.isthing and region.is_crowd)
        id_of_region.append(segment_id)
    places = np.zeros((height, width), np.int32)  # 0, or 1 + a region's place
    for index in sorted(range(len(regions)), key=lambda index: _layer(regions[index])):
        places[rle_tools.decode(regions[index].rle) > 0] = 1 + index
    ids = np.array(id_of_region, np.int32)[places]
    if rest is not None:
        segment_id = segment_ids.setdefault(("all", rest), len(segment_ids) + 1)
        meaning[segment_id] = rest, 0
        ids[ids == VOID] = segment_id
    return Painted(ids, meaning, frozenset((np.unique(places[places > 0]) - 1).tolist()))


def _layer(region: Region) -> tuple[int, float]:
    kind = 0 if not region.isthing else 1 if region.is_crowd else 2
    return kind, -float(rle_tools.area(region.rle))


def polygons_to_rle(
    polygons: Sequence[Sequence[float]], height: int, width: int, where: str
) -> dict[str, Any]:
    """Return COCO's run-length code of the union of polygons, as COCO's tools draw it.

    Args:
        polygons: Lists x1, y1, x2, y2, ... in pixels, with three points or more.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: The file and the region's place in it, for messages.

    Raises:
        InputError: There is no polygon, or one has too few points or an invalid coordinate.
    """
    for polygon in polygons:
        is_list = isinstance(polygon, (list, tuple)) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not is_list or not all(is_coordinate(value) for value in polygon):
            raise InputError(
                f"{where}: a polygon is not a list x1, y1, x2, y2, ... of three points or more"
            )
    if not polygons:
        raise InputError(f"{where}: no polygon")
    return rle_tools.merge(rle_tools.frPyObjects([list(p) for p in polygons], height, width))


def is_coordinate(value: Any) -> bool:
    """Tell whether a value is a finite number that a point of an outline may have."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) < FARTHEST  # false of NaN
