"""Pairs of values and their pixels, as numpy's unique would count them."""

import numpy as np
import pytest

from mmproscale.evaluation.pixel_pairs import count_pairs


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (37, 23)])
def test_counts_every_pair(dtype, shape):
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (2, *shape)).astype(dtype)
    pairs, pixels = np.unique(
        np.stack([first.ravel(), second.ravel()], 1), axis=0, return_counts=True
    )
    a, b, counted = count_pairs(first, second)
    assert np.column_stack([a, b]).tolist() == pairs.tolist()
    assert counted.tolist() == pixels.tolist()


def test_the_largest_and_the_smallest_values():
    first = np.array([[2**31 - 1, 2**31 - 1, 0]])
    second = np.array([[-(2**31), 2**31 - 1, -1]])
    counted = sorted(zip(*(part.tolist() for part in count_pairs(first, second)), strict=True))
    assert counted == [(0, -1, 1), (2**31 - 1, -(2**31), 1), (2**31 - 1, 2**31 - 1, 1)]


def test_maps_that_are_not_in_one_piece_and_an_empty_one():
    first = np.arange(12).reshape(3, 4) // 5
    assert [p.tolist() for p in count_pairs(first.T, first.T)] == [[0, 1, 2], [0, 1, 2], [5, 5, 2]]
    assert [len(part) for part in count_pairs(np.zeros((0, 4), int), np.zeros((0, 4), int))] == [
        0
    ] * 3
