"""Shapes of labelme become the pixels that the tool showed, or the reason why there are none."""

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.labelme_shapes import shape_rle
from mmproscale.errors import InputError

HEIGHT, WIDTH = 20, 30
CORNERS = [[3, 2], [13, 2], [13, 9], [3, 9]]


def drawn(points, kind="polygon", **more):
    """Return the mask (H, W) of a shape, or the reason why it has none."""
    shape = dict(label="cat", points=points, shape_type=kind, **more)
    found = shape_rle(shape, "here", HEIGHT, WIDTH)
    return found if isinstance(found, str) else rle_tools.decode(found).astype(bool)


@pytest.mark.parametrize("kind", [None, "polygon", "rectangle", "rotation", "oriented_rectangle"])
def test_rectangles_of_four_points_are_boxes(kind):
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[2:9, 3:13] = True
    assert (drawn(CORNERS, kind) == expected).all()
    assert (drawn(CORNERS[1::2], "rectangle") == expected).all()


def test_a_turned_rectangle_is_a_polygon():
    turned = [[10, 2], [18, 10], [10, 18], [2, 10]]
    masks = [drawn(turned, kind, direction=0.8) for kind in ("rotation", "rectangle", "polygon")]
    assert (masks[0] == masks[1]).all() and (masks[0] == masks[2]).all()
    assert masks[0].sum() == pytest.approx(128, rel=0.15) and not masks[0][3, 3]


def test_a_circle_is_round():
    mask = drawn([[15, 10], [19, 10]], "circle")
    assert mask.sum() == pytest.approx(np.pi * 16, rel=0.1) and mask[9, 14] and not mask[6, 11]


@pytest.mark.parametrize(
    ("points", "kind", "reason"),
    [
        ([[1, 2]], "point", "points and lines"),
        ([[1, 2], [3, 4]], "linestrip", "points and lines"),
        ([], "polygon", "of too few points"),
        ([[1, 2], [3, 4]], "polygon", "of too few points"),
        ([[1, 2]], "rectangle", "of too few points"),
        ([[5, 5], [5, 5]], "circle", "of no area"),
        ([[5, 5], [9, 5]], "rectangle", "of no area"),
        ([[2, 2], [4, 4], [6, 6]], "polygon", "of no area"),
        ([[40, 5], [50, 5], [50, 9]], "polygon", "outside the image"),
        ([[0, -9], [9, -9], [9, -2]], "polygon", "outside the image"),
    ],
)
def test_shapes_without_pixels_have_a_reason(points, kind, reason):
    assert drawn(points, kind) == reason


@pytest.mark.parametrize(
    ("points", "kind", "part"),
    [
        (None, "polygon", "'points' is None"),
        ([1, 2], "polygon", "pairs"),
        ([[1, 2], [3, "4"], [5, 6]], "polygon", "not numbers"),
        ([[1, 2], [3, float("nan")], [5, 6]], "circle", "not numbers"),
        ([[1, 2], [3, 10**400]], "rectangle", "not numbers"),
        ([[1, 2], [3, 4], [5, 6]], "circle", "two pairs"),
        (CORNERS, "star", "unknown type 'star'"),
    ],
)
def test_other_values_are_refused(points, kind, part):
    with pytest.raises(InputError, match=f"here: .*{part}"):
        drawn(points, kind)
