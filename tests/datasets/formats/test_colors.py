"""Colours of classes and segments: given ones are kept, made ones differ."""

import numpy as np
import pytest

from mmproscale.datasets.formats.colors import class_colors, instance_shade, paint, segment_colors

CATEGORIES = [
    {"id": 5, "name": "car", "isthing": 1, "color": [200, 40, 40]},
    {"id": 21, "name": "sky", "isthing": 0},
]
SEGMENTS = [
    {"id": 70000, "category_id": 5},
    {"id": 3, "category_id": 5},
    {"id": 9, "category_id": 21},
    {"id": 10, "category_id": 21},
]


def test_given_colors_are_kept():
    colors = class_colors(CATEGORIES)
    assert colors[5] == (200, 40, 40) and colors[21] != colors[5]


@pytest.mark.parametrize("color", [None, [], [1, 2], "#ff0000", [0, "x", 0]])
def test_a_color_that_is_not_three_numbers_is_ignored(color):
    colors = class_colors([{"id": 1, "color": color}])
    assert colors == class_colors([{"id": 1}])


@pytest.mark.parametrize("count", [255, 1203])
def test_made_colors_differ_from_each_other_and_from_given_ones(count):
    plain = [{"id": i} for i in range(count)]
    first = class_colors(plain)[0]
    colors = class_colors([*plain, {"id": -1, "color": list(first)}])
    assert len(set(colors.values())) == count + 1 and colors[-1] == first


def test_shades_differ_and_keep_one_hue():
    shades = [instance_shade((200, 40, 40), index) for index in range(12)]
    assert shades[0] == (200, 40, 40) and len(set(shades)) == 12
    assert all(red == max(red, green, blue) for red, green, blue in shades)


def test_things_have_shades_and_stuff_has_one_color():
    by_segment = segment_colors(SEGMENTS, CATEGORIES)
    assert by_segment[9] == by_segment[10] and by_segment[70000] != by_segment[3]


def test_painting_gives_each_pixel_its_segments_color():
    colors = {9: (1, 2, 3), 70000: (4, 5, 6)}
    painted = paint(np.array([[0, 9], [3, 70000]]), colors, void=(7, 7, 7))
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[[7, 7, 7], [1, 2, 3]], [[7, 7, 7], [4, 5, 6]]]
