"""Overlapping regions become one map: who lies over whom, and which regions share a segment."""

import numpy as np
import pytest

from mmproscale.datasets.conversion.output import describe_segments
from mmproscale.datasets.conversion.painting import Region, paint, polygons_to_rle
from mmproscale.errors import InputError

SKY, CAR = 4, 9
HEIGHT, WIDTH = 6, 8


def rle(left, top, right, bottom):
    outline = [left, top, right, top, right, bottom, left, bottom]
    return polygons_to_rle([outline], HEIGHT, WIDTH, "here")


def painted(*regions, rest=None):
    """Return the category id at each pixel, 0 for void, and the segments."""
    ids, meaning, _ = paint(regions, HEIGHT, WIDTH, rest)
    segments = describe_segments(ids, meaning)
    categories = np.zeros_like(ids)
    for segment in segments:
        categories[ids == segment["id"]] = segment["category_id"]
    return categories, segments


def test_things_lie_over_crowds_and_crowds_over_stuff():
    thing = Region(1, True, rle(0, 0, 8, 2))
    crowd = Region(2, True, rle(0, 0, 8, 4), is_crowd=True)
    stuff = Region(3, False, rle(0, 0, 2, 1))  # it is the smallest, and yet at the bottom
    categories, segments = painted(thing, stuff, crowd)
    assert categories[:, 0].tolist() == [1, 1, 2, 2, 0, 0]
    assert [segment["iscrowd"] for segment in segments] == [0, 1]


def test_smaller_things_lie_over_larger_ones_and_later_ones_over_equals():
    small, large = Region(1, True, rle(2, 2, 4, 4)), Region(2, True, rle(0, 0, 8, 6))
    categories, _ = painted(small, large)
    assert (categories[2:4, 2:4] == 1).all() and (categories == 1).sum() == 4
    categories, segments = painted(small, Region(3, True, rle(2, 2, 4, 4)))
    assert [segment["category_id"] for segment in segments] == [3]


def test_stuff_and_crowds_of_a_class_are_one_segment_and_things_are_not():
    pieces = [rle(0, 0, 2, 2), rle(4, 4, 6, 6)]
    for isthing, is_crowd, count in ((False, False, 1), (True, True, 1), (True, False, 2)):
        regions = [Region(CAR, isthing, piece, is_crowd) for piece in pieces]
        _, segments = painted(*regions)
        assert len(segments) == count
        assert sum(segment["area"] for segment in segments) == 8


def test_uncovered_pixels_join_the_rest_class():
    categories, segments = painted(Region(SKY, False, rle(0, 0, 8, 1)), rest=SKY)
    assert (categories == SKY).all() and len(segments) == 1
    categories, segments = painted(Region(CAR, True, rle(0, 0, 8, 1)), rest=SKY)
    assert (categories[1:] == SKY).all() and len(segments) == 2


@pytest.mark.parametrize(
    ("polygons", "part"),
    [
        ([], "no polygon"),
        ([[0, 0, 1, 1]], "three points"),
        ([[0, 0, 1, 1, 2, 2, 3]], "three points"),
        ([[0, 0, 1, 1, float("nan"), 2]], "three points"),
        ([[0, 0, 1, 1, 1e7, 2]], "three points"),
        ([[0, 0, 1, 1, True, 2]], "three points"),
    ],
)
def test_polygons_without_area_or_with_invalid_coordinates_are_refused(polygons, part):
    with pytest.raises(InputError, match=f"here: .*{part}"):
        polygons_to_rle(polygons, HEIGHT, WIDTH, "here")
