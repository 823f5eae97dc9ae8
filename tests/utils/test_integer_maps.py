"""Values of integer maps: those that NumPy finds, for every type and range."""

import numpy as np
import pytest

from mmproscale.utils import integer_maps
from mmproscale.utils.integer_maps import distinct

MAPS = {
    "labels": np.random.default_rng(0).integers(0, 300, (20, 30)),
    "negative": np.array([[-5, 7], [7, -1]], np.int32),
    "bytes": np.array([[0, 255], [3, 3]], np.uint8),
    "ids of PNGs": np.array([[0, 2**24 - 1]], np.uint32),
    "wide": np.array([[0, 2**40], [-(2**40), 0]]),
    "ends of the type": np.array([[-128, 127]], np.int8),
    "one value": np.full((2, 3), 9),
    "empty": np.zeros((0, 4), np.int64),
}


@pytest.mark.parametrize("name", MAPS)
def test_values_and_places_are_numpys(name):
    values, places = np.unique(MAPS[name], return_inverse=True)
    found, mine = distinct(MAPS[name])
    assert found.dtype == values.dtype and mine.shape == MAPS[name].shape
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(mine, places.reshape(MAPS[name].shape))


def test_only_a_wide_range_is_sorted(monkeypatch):
    monkeypatch.setattr(integer_maps.np, "unique", None)
    assert distinct(MAPS["ids of PNGs"])[0].tolist() == [0, 2**24 - 1]
