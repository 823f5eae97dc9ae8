"""Attention backend ``torch``: the sampled sum as an EmbeddingBag over the points' four corners.

It runs on any device. The backward pass is written by hand: PyTorch's EmbeddingBag would sort every
corner, while one sort of the points' top left cells is enough for all four.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from mmproscale.ops.padded_maps import (
    BORDER,
    Corners,
    PaddedMaps,
    padded_maps,
    write_corner_weights,
)

# Points of one step. More would not be faster, and each point takes about 64 bytes for the indices
# and weights of its corners and their intermediate results.
POINTS_PER_STEP = 400_000

Shapes = tuple[tuple[int, int], ...]


def refuses(value: Tensor) -> None:
    """Return None: the backend takes any values."""


def forward(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Return the sums (B, Q, heads * head_dim); all tensors are in fp32 or all in fp64."""
    if not locations.numel():
        return value.new_zeros(*locations.shape[:2], value.shape[2] * value.shape[3])
    out = value.new_empty(*locations.shape[:3], value.shape[3])
    maps = _maps(shapes, locations)
    for images in _image_slices(locations):
        table = maps.fill(value[images])
        for queries in _query_slices(locations):
            step = images, queries
            corners = maps.corners(locations[step])
            rows = maps.rows(corners)
            corner_weights = torch.empty_like(rows, dtype=weights.dtype)
            write_corner_weights(corners, weights[step], corner_weights.movedim(3, 0))
            out[step] = _sum_weighted_rows(table, rows, corner_weights)
    return out.flatten(2)


def backward(
    grad: Tensor, value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of value, locations and weights from the output's; dtypes as in forward."""
    inputs = value, locations, weights
    grad = grad.unflatten(2, value.shape[2:]).contiguous()  # -> BxQxHxD
    grads = [torch.zeros_like(tensor, memory_format=torch.contiguous_format) for tensor in inputs]
    maps = _maps(shapes, locations)
    for images in _image_slices(locations):
        _fill_gradients(maps, *(tensor[images] for tensor in (grad, *inputs, *grads)))
    return grads[0], grads[1], grads[2]


def _fill_gradients(
    maps: PaddedMaps,
    grad: Tensor,
    value: Tensor,
    locations: Tensor,
    weights: Tensor,
    grad_value: Tensor,
    grad_locations: Tensor,
    grad_weights: Tensor,
) -> None:
    """Fill the three gradients, which are zero, for some images."""
    table = maps.fill(value)
    top_left = torch.empty(weights.shape, dtype=torch.int32, device=weights.device)
    corner_weights = weights.new_empty(4, *weights.shape)
    for queries in _query_slices(locations):
        corners = maps.corners(locations[:, queries])
        weight = weights[:, queries]
        products = _corner_products(grad[:, queries], table, maps.rows(corners)).unbind(3)
        to_weight, to_x, to_y = _bilinear_gradients(products, corners)
        grad_weights[:, queries] = to_weight
        grad_locations[:, queries, ..., 0] = to_x.mul_(weight).mul_(maps.size[0])
        grad_locations[:, queries, ..., 1] = to_y.mul_(weight).mul_(maps.size[1])
        top_left[:, queries] = corners.row
        write_corner_weights(corners, weight, corner_weights[:, :, queries])
    _add_value_gradient(maps, grad, top_left, corner_weights, grad_value)


def _bilinear_gradients(
    products: tuple[Tensor, ...], corners: Corners
) -> tuple[Tensor, Tensor, Tensor]:
    """Interpolate four numbers at each point; return the values and their slopes in x and y."""
    above_left, above_right, below_left, below_right = products
    above = torch.lerp(above_left, above_right, corners.right)
    below = torch.lerp(below_left, below_right, corners.right)
    in_x = torch.lerp(above_right - above_left, below_right - below_left, corners.down)
    return torch.lerp(above, below, corners.down), in_x, below.sub_(above)


def _add_value_gradient(
    maps: PaddedMaps, grad: Tensor, top_left: Tensor, corner_weights: Tensor, grad_value: Tensor
) -> None:
    """Add the points' part to the gradient of ``value``, (B, N, heads, head_dim).

    Points are sorted by their top left cell. For each corner, the gradients of their outputs are
    summed cell by cell to a map, which is added after a move by at most one cell in x and y.
    """
    B, _, heads, head_dim = grad_value.shape
    row, order = torch.sort((top_left + maps.image_rows(B)).flatten(), stable=True)
    all_rows = torch.arange(B * heads * maps.cells, device=row.device, dtype=row.dtype)
    first = torch.searchsorted(row, all_rows, out_int32=True)
    output = order.div(top_left[0, 0, 0].numel(), rounding_mode="floor").int()
    parts = grad_value.split([h * w for h, w in maps.shapes], dim=1)
    for corner, corner_weight in enumerate(corner_weights):
        down, right = divmod(corner, 2)
        corner_weight = corner_weight.flatten().index_select(0, order)
        sums = F.embedding_bag(
            output, grad.view(-1, head_dim), first, mode="sum", per_sample_weights=corner_weight
        )
        grids = maps.grids(sums.view(B, heads, maps.cells, head_dim))
        for (h, w), part, grid in zip(maps.shapes, parts, grids, strict=True):
            top, left = BORDER - down, BORDER - right
            moved = grid[:, :, top : top + h, left : left + w]
            part.unflatten(1, (h, w)).add_(moved.permute(0, 2, 3, 1, 4))  # BxHxhxwxD -> BxhxwxHxD


def _sum_weighted_rows(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of table rows for each output, (B, Q, heads, head_dim)."""
    corners = rows[0, 0, 0].numel()
    first = torch.arange(0, rows.numel(), corners, dtype=rows.dtype, device=rows.device)
    sums = F.embedding_bag(
        rows.view(-1), table.flatten(0, 1), first, mode="sum", per_sample_weights=weights.view(-1)
    )
    return sums.view(*rows.shape[:3], -1)


def _corner_products(grad: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Multiply each corner's table row by the output's gradient; the products have rows' shape."""
    corners, head_dim = rows[0, 0, 0].numel(), grad.shape[-1]
    first = torch.arange(0, rows.numel() + 1, corners, dtype=rows.dtype, device=rows.device)
    outputs_grad, table = grad.reshape(-1, head_dim), table.flatten(0, 1)
    size, zeros = (len(outputs_grad), len(table)), grad.new_zeros(rows.numel())
    _silence_sparse_warning()
    wanted = torch.sparse_csr_tensor(first, rows.view(-1), zeros, size, check_invariants=False)
    products = torch.sparse.sampled_addmm(wanted, outputs_grad, table.t(), beta=0)
    return products.values().view(rows.shape)


@cache
def _silence_sparse_warning() -> None:
    """Let torch issue its warning about sparse tensors, which appears once, while it is ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


def _maps(shapes: Shapes, locations: Tensor) -> PaddedMaps:
    heads, points = locations.shape[2], locations.shape[4]
    return padded_maps(shapes, heads, points, locations.dtype, locations.device)


def _image_slices(locations: Tensor) -> Iterator[slice]:
    """Return slices of the batch: several small images, or one; no slices without points."""
    if not locations.numel():
        return iter(())
    images = max(1, POINTS_PER_STEP // locations[0, ..., 0].numel())
    return (slice(start, start + images) for start in range(0, len(locations), images))


def _query_slices(locations: Tensor) -> Iterator[slice]:
    """Return slices of the queries: all of a small image, or as many as one step takes."""
    queries = max(1, POINTS_PER_STEP // locations[0, 0, ..., 0].numel())
    return (slice(start, start + queries) for start in range(0, locations.shape[1], queries))
