"""Pictures of detections: boxes in their class's colour, at the scale of the picture."""

import numpy as np

from mmproscale.inference.pictures.box_picture import box_picture

CATEGORIES = [
    {"id": 5, "name": "car", "color": [200, 40, 40]},
    {"id": 21, "name": "dog", "color": [40, 40, 200]},
]
IMAGE = np.full((240, 320, 3), 128, np.uint8)


def detection(category_id: int, score: float, bbox: tuple[int, int, int, int]) -> dict:
    return {"category_id": category_id, "score": score, "bbox": bbox}


def where(picture: np.ndarray, category: dict) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels in a category's colour."""
    return np.nonzero((picture == category["color"]).all(axis=-1))


def test_a_box_is_drawn_at_the_scale_of_the_picture():
    picture = box_picture(IMAGE, [detection(5, 0.9, (50, 60, 100, 80))], CATEGORIES)
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    rows, columns = where(picture, CATEGORIES[0])
    assert (columns.min(), columns.max(), rows.max()) == (100, 300, 280)
    assert (picture[200, 300] == CATEGORIES[0]["color"]).all()
    assert (picture[200, 200] == 128).all()  # the inside of the box is the photograph


def test_the_text_stands_above_the_box_or_inside_at_the_upper_edge():
    for top, first_row, last_row in [(60, 100, 120), (0, 0, 20)]:
        picture = box_picture(IMAGE, [detection(5, 0.9, (50, top, 100, 80))], CATEGORIES)
        dark_rows = np.nonzero((picture == (20, 20, 20)).all(axis=-1))[0]
        assert first_row <= dark_rows.min() and dark_rows.max() <= last_row


def test_low_scores_are_not_drawn():
    found = [detection(5, 0.2, (50, 60, 100, 80))]
    assert (box_picture(IMAGE, found, CATEGORIES) == 128).all()
    picture = box_picture(IMAGE, found, CATEGORIES, least_score=0.1)
    assert where(picture, CATEGORIES[0])[0].size


def test_the_highest_score_is_on_top():
    same_box = (50, 60, 100, 80)
    found = [detection(5, 0.9, same_box), detection(21, 0.5, same_box)]
    picture = box_picture(IMAGE, found, CATEGORIES)
    assert (picture[200, 300] == CATEGORIES[0]["color"]).all()
    assert not (picture[200] == CATEGORIES[1]["color"]).all(axis=-1).any()


def test_a_large_image_keeps_its_size():
    picture = box_picture(np.zeros((500, 600, 3), np.uint8), [], CATEGORIES)
    assert picture.shape == (500, 600, 3) and not picture.any()
