"""Tiles of a large image."""

import numpy as np
import pytest

from mmproscale.errors import InputError
from mmproscale.inference.tiles import Tiling


def test_cores_cover_the_image_once_and_tiles_have_one_size():
    for shape in [(300, 420), (128, 1000), (129, 128), (20, 500)]:
        count = np.zeros(shape, int)
        for tile in Tiling(128, 32).tiles(shape):
            count[tile.core.slices] += 1
            assert tile.window.bottom - tile.window.top == min(128, shape[0])
            assert tile.window.right - tile.window.left == min(128, shape[1])
        assert (count == 1).all()


def test_an_overlap_of_more_than_half_a_tile_is_refused():
    with pytest.raises(InputError, match="tile=128, overlap=100: the overlap is at most half"):
        Tiling(128, 100)
