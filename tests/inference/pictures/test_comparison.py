"""Sheets of images with ground truth: small, side by side, in two columns."""

import numpy as np
import pytest

from mmproscale.inference.pictures.comparison import LONG_SIDE, comparison, stacked
from mmproscale.inference.results import Result

CATEGORIES = [dict(id=7, name="road", isthing=0)]


@pytest.mark.parametrize("shape", [(1000, 500), (30, 60)])
def test_pictures_of_any_size_have_one_long_side(shape):
    image = np.full((*shape, 3), 128, np.uint8)
    result = Result(image, "a", None, CATEGORIES, semantic=np.zeros(shape, np.int64))
    truth = ("ground truth", np.ones(shape, np.int32), [dict(id=1, category_id=7)])
    single, both = comparison(result, None), comparison(result, truth)
    side = round(LONG_SIDE * shape[1] / max(shape))
    assert 2 * side <= single.shape[1] < 2.1 * side
    assert 3 * side <= both.shape[1] < 3.1 * side


def test_rows_of_several_sizes_stand_in_two_columns():
    rows = [np.zeros((10, 20 + n, 3), np.uint8) for n in range(3)]
    sheet = stacked(rows)
    assert sheet.shape[1] == (21 + 8) + (22 + 8) and sheet.shape[0] == 2 * (10 + 8)
    dark = (sheet == 0).all(-1)
    assert dark.sum() == 10 * (20 + 21 + 22) and (sheet[~dark] == 255).all()
    assert stacked(rows[:1]).shape == (18, 28, 3)
