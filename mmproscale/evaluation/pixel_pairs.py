"""How many pixels two maps share for each pair of their values, by runs instead of pixels."""

import numpy as np

_SHIFT = 32


def count_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the pixels of every pair of values that occurs.

    Maps of segments are made of long runs: only where one of the two changes is a pair looked up,
    so the cost is that of comparing neighbours.

    Args:
        first: (H, W) integers, 0 to 2**31 - 1.
        second: (H, W) integers, -2**31 to 2**31 - 1.

    Returns:
        Three (N,) int64 arrays, one entry for each pair, sorted by it: values of ``first``, values
        of ``second``, pixels.
    """
    first, second = np.ravel(first), np.ravel(second)
    changes = first[1:] != first[:-1]
    changes |= second[1:] != second[:-1]
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])[: first.size]
    lengths = np.diff(starts, append=first.size)
    keys = (first[starts].astype(np.int64) << _SHIFT) + second[starts]
    pairs = np.unique(keys)
    # Sorting values and searching them is faster than sorting their places.
    pixels = np.bincount(np.searchsorted(pairs, keys), lengths, len(pairs)).astype(np.int64)
    of_first = (pairs + (1 << (_SHIFT - 1))) >> _SHIFT
    return of_first, pairs - (of_first << _SHIFT), pixels
