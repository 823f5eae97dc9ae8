"""Tiles of a large image.

Neighbouring tiles overlap. A tile's core ends in the middle of each overlap; the cores of all tiles
cover the image once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mmproscale.errors import InputError


class Window(NamedTuple):
    """Rectangle of an image, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array (H, W, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, outer: Window) -> Window:
        """Return the rectangle in the coordinates of one that holds it."""
        top, left = outer.top, outer.left
        return Window(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def meet(self, other: Window) -> Window:
        """Return the rectangle that two overlapping ones share."""
        low, high = np.maximum(self[:2], other[:2]), np.minimum(self[2:], other[2:])
        return Window(*low.tolist(), *high.tolist())


@dataclass(frozen=True)
class Tile:
    """Part of an image that a model sees at once.

    Attributes:
        row, column: Place among the tiles.
        window: The part.
        core: The part of it whose pixels are kept; the cores of all tiles cover the image once.
    """

    row: int
    column: int
    window: Window
    core: Window


@dataclass(frozen=True)
class Tiling:
    """Size of tiles and of their overlap, in pixels.

    Args:
        size: Height and width of a tile. An image that fits into a tile is not cut.
        overlap: Least overlap of neighbouring tiles.

    Raises:
        InputError: The overlap is negative or more than half of a tile.
    """

    size: int
    overlap: int = 128

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.overlap <= self.size or self.size < 1:
            raise InputError(
                f"tile={self.size}, overlap={self.overlap}: the overlap is at most half of a tile"
            )

    def cuts(self, shape: Sequence[int]) -> bool:
        """Return True if an image of (H, W, ...) is larger than a tile."""
        return max(shape[:2]) > self.size

    def tiles(self, shape: Sequence[int]) -> Iterator[Tile]:
        """Yield the tiles of an image of (H, W, ...), row by row."""
        rows, columns = (self._spans(length) for length in shape[:2])
        for row, (top, bottom, core_top, core_bottom) in enumerate(rows):
            for column, (left, right, core_left, core_right) in enumerate(columns):
                core = Window(core_top, core_left, core_bottom, core_right)
                yield Tile(row, column, Window(top, left, bottom, right), core)

    def _spans(self, length: int) -> list[tuple[int, int, int, int]]:
        """Return start, end, core start and core end of the tiles along one side."""
        size = min(self.size, length)
        count = 1 + -(-(length - size) // (self.size - self.overlap))
        starts = [round(i * (length - size) / max(1, count - 1)) for i in range(count)]
        middles = [(b + a + size) // 2 for a, b in pairwise(starts)]
        edges = [0, *middles, length]
        return [
            (start, start + size, *core)
            for start, core in zip(starts, pairwise(edges), strict=True)
        ]
