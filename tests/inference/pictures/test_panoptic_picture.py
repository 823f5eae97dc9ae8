"""Panoptic pictures: sizes, colours, boundaries and legend."""

import numpy as np
import pytest

from mmproscale.inference.pictures.panoptic_picture import draw_panoptic, enlarge, panoptic_picture

CATEGORIES = [
    {"id": 5, "name": "car", "isthing": 1, "color": [200, 40, 40]},
    {"id": 21, "name": "sky", "isthing": 0},
]
SEGMENTS = [
    {"id": 70000, "category_id": 5},
    {"id": 3, "category_id": 5},
    {"id": 9, "category_id": 21},
]
# Rows and columns of the enlarged scene in void, cars and sky, away from labels and boundaries.
PIXELS = [(40, 320), (150, 30), (150, 230), (150, 600)]


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A grey image (48, 64, 3) and ids: void above, two cars and sky below."""
    ids = np.zeros((48, 64), np.int32)
    ids[12:, :20], ids[12:, 20:40], ids[12:, 40:] = 70000, 3, 9
    return np.full((48, 64, 3), 128, np.uint8), ids


def test_picture_shows_class_colors_and_void():
    image, ids = scene()
    picture = draw_panoptic(image, ids, SEGMENTS, CATEGORIES)
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    void, car, other_car, sky = (picture[y, x].astype(int) for y, x in PIXELS)
    assert void.max() < 60
    assert car[0] > car[1] + 50 and car[0] > car[2] + 50
    assert other_car[0] == other_car.max() and np.abs(car - other_car).sum() > 30
    assert np.abs(sky - car).sum() > 60


def test_boundary_is_bright_and_dark():
    image, ids = scene()
    across = draw_panoptic(image, ids, SEGMENTS, CATEGORIES)[200, 190:210].astype(int).sum(axis=1)
    assert across.max() == 3 * 255
    assert across.min() <= 3 * 30


def test_photograph_keeps_its_pixels_when_large():
    image = np.zeros((500, 600, 3), np.uint8)
    assert enlarge(image, 480).shape == image.shape
    assert enlarge(image[:128, :256], 480).shape == (480, 960, 3)


def test_side_by_side_with_legend():
    image, ids = scene()
    one = panoptic_picture(image, [("prediction", ids, SEGMENTS)], CATEGORIES)
    two = panoptic_picture(
        image, [("prediction", ids, SEGMENTS), ("ground truth", ids, SEGMENTS)], CATEGORIES
    )
    assert one.shape[0] > 480 and one.shape[1] > 2 * 640
    assert two.shape[1] > 3 * 640
    legend = one[-20:].reshape(-1, 3)
    assert (legend == CATEGORIES[0]["color"]).all(axis=1).any()
    empty = panoptic_picture(image, [("prediction", np.zeros_like(ids), [])], CATEGORIES)
    assert empty.shape[1] == one.shape[1]


def test_sizes_must_agree():
    image, ids = scene()
    with pytest.raises(ValueError, match="id map is"):
        draw_panoptic(image, ids[:10], SEGMENTS, CATEGORIES)
