"""Table of all levels' maps, each with a border of zeros, and the rows of bilinear corners in it.

The four corners of a point are read without a test whether they are on the map: up to one cell
outside they fall on the border, and points farther out are moved to the border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

# Cells on each side. With two, a point on the outer cell has all four corners on zeros, so that its
# gradient is zero too.
BORDER = 2


@dataclass(frozen=True)
class Corners:
    """Four map cells around each sampling point.

    Args:
        row: (B, Q, heads, L, P) int32, the top left cell's row in the table of its own image.
        right: (B, Q, heads, L, P), the point's distance from the left cells, 0..1.
        down: (B, Q, heads, L, P), its distance from the upper cells, 0..1.
    """

    row: Tensor
    right: Tensor
    down: Tensor


@dataclass(frozen=True)
class PaddedMaps:
    """Layout of the table (B, heads * cells, head_dim), the levels one after the other.

    Args:
        shapes: (H, W) of each level, without its border.
        size: (2, heads, L, P), width and height of each point's level.
        stride: (heads, L, P), cells from one map row to the next.
        origin: (heads, L, P) int32, row of cell (0, 0) in the table of an image.
        below: (heads, L, P) int32, table rows from a cell to the one below it.
        cells: Cells of all levels, borders included.
    """

    shapes: tuple[tuple[int, int], ...]
    size: Tensor
    stride: Tensor
    origin: Tensor
    below: Tensor
    cells: int

    def fill(self, value: Tensor) -> Tensor:
        """Return the table (B, rows, head_dim) of ``value`` (B, N, heads, head_dim)."""
        B, _, heads, head_dim = value.shape
        table = value.new_empty(B, heads, self.cells, head_dim)
        tokens = value.split([h * w for h, w in self.shapes], dim=1)
        for (h, w), level, grid in zip(self.shapes, tokens, self.grids(table), strict=True):
            for axis in (2, 3):
                grid.narrow(axis, 0, BORDER).zero_()
                grid.narrow(axis, grid.shape[axis] - BORDER, BORDER).zero_()
            inside = grid[:, :, BORDER:-BORDER, BORDER:-BORDER]
            inside.copy_(level.unflatten(1, (h, w)).permute(0, 3, 1, 2, 4))  # BxhxwxHxD->BxHxhxwxD
        return table.flatten(1, 2)

    def grids(self, table: Tensor) -> Iterator[Tensor]:
        """Return the padded maps (B, heads, H, W, ...) of a table (B, heads, cells, ...)."""
        sizes = [(h + 2 * BORDER, w + 2 * BORDER) for h, w in self.shapes]
        parts = table.split([h * w for h, w in sizes], dim=2)
        return (part.unflatten(2, size) for part, size in zip(parts, sizes, strict=True))

    def corners(self, locations: Tensor) -> Corners:
        """Return the cells around points (B, Q, heads, L, P, 2), in 0..1 over each level's map."""
        size = self.size[:, None, None]
        xy = (locations.movedim(-1, 0) * size).sub_(0.5)
        # As in mmcv's compiled op, a NaN location is outside.
        xy = torch.clamp(xy, xy.new_full((), -BORDER), size).nan_to_num_(-BORDER)
        cell = xy.floor()
        right, down = xy.sub_(cell)
        row = torch.addcmul(cell[0], cell[1], self.stride).int().add_(self.origin)
        return Corners(row, right, down)

    def image_rows(self, images: int) -> Tensor:
        """Return the first row of each image, (images, 1, 1, 1, 1)."""
        numbers = torch.arange(images, dtype=torch.int32, device=self.origin.device)
        return (numbers * (len(self.origin) * self.cells)).view(-1, 1, 1, 1, 1)

    def rows(self, corners: Corners) -> Tensor:
        """Return the table rows of the corners, (B, Q, heads, 4, L, P): two above, two below."""
        B, Q, heads, L, P = corners.row.shape
        rows = corners.row.new_empty(B, Q, heads, 4, L, P)
        above_left, above_right, below_left, below_right = rows.unbind(3)
        torch.add(corners.row, self.image_rows(B), out=above_left)
        torch.add(above_left, 1, out=above_right)
        torch.add(above_left, self.below, out=below_left)
        torch.add(below_left, 1, out=below_right)
        return rows


def write_corner_weights(corners: Corners, weights: Tensor, corner_weights: Tensor) -> None:
    """Split weights (B, Q, heads, L, P) bilinearly into ``corner_weights`` (4, B, Q, ...)."""
    above_left, above_right, below_left, below_right = corner_weights
    below = weights * corners.down
    above = weights - below
    torch.mul(above, corners.right, out=above_right)
    torch.sub(above, above_right, out=above_left)
    torch.mul(below, corners.right, out=below_right)
    torch.sub(below, below_right, out=below_left)


@lru_cache(maxsize=128)
def padded_maps(
    shapes: tuple[tuple[int, int], ...],
    heads: int,
    points: int,
    dtype: torch.dtype,
    device: torch.device,
) -> PaddedMaps:
    """Return the layout for maps of these sizes; it is cached, as models repeat their sizes."""
    strides = [w + 2 * BORDER for _, w in shapes]
    starts = [0]
    for h, w in shapes:
        starts.append(starts[-1] + (h + 2 * BORDER) * (w + 2 * BORDER))

    def per_point(per_level: Sequence[int], dtype: torch.dtype) -> Tensor:
        # Expanded over heads and points: broadcasting it later is several times slower.
        row = torch.tensor(per_level, dtype=dtype, device=device)
        return row[:, None].expand(heads, len(shapes), points).contiguous()

    first = [s + BORDER * (stride + 1) for s, stride in zip(starts[:-1], strides, strict=True)]
    per_head = torch.arange(heads, dtype=torch.int32, device=device) * starts[-1]
    return PaddedMaps(
        shapes=shapes,
        size=torch.stack(
            [per_point([w for _, w in shapes], dtype), per_point([h for h, _ in shapes], dtype)]
        ),
        stride=per_point(strides, dtype),
        origin=per_point(first, torch.int32) + per_head[:, None, None],
        below=per_point(strides, torch.int32),
        cells=starts[-1],
    )
