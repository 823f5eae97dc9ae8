"""The sampled sum as an EmbeddingBag: four corners of every point, weighted, over rows of head_dim.

Runs on any device. The backward pass is its own: PyTorch's EmbeddingBag would sort every corner;
here one sort of the points' top left cells serves all four.
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
    share_out,
)

# Points taken together. More would not be faster, and the indices and weights of their corners (32
# bytes a point, and as much again for what leads to them) would count in the memory.
POINTS_PER_STEP = 400_000

Shapes = tuple[tuple[int, int], ...]


def refuses(value: Tensor) -> None:
    """Why the backend cannot take such values: it takes any."""


def forward(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Sampled sums (B, Q, heads * head_dim) in ``value``'s dtype; arguments as the operator's."""
    if not locations.numel():
        return value.new_zeros(*locations.shape[:2], value.shape[2] * value.shape[3])
    given = value.dtype
    value, locations, weights = _in_working_precision(value, locations, weights)
    out = value.new_empty(*locations.shape[:3], value.shape[3])
    maps = _maps(shapes, locations)
    for images in _image_slices(locations):
        table = maps.fill(value[images])
        for queries in _query_slices(locations):
            step = images, queries
            corners = maps.corners(locations[step])
            rows = maps.rows(corners)
            shares = torch.empty_like(rows, dtype=weights.dtype)
            share_out(corners, weights[step], shares.movedim(3, 0))
            out[step] = _weighted_rows(table, rows, shares)
    return out.flatten(2).to(given)


def backward(
    grad: Tensor, value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights, in their dtypes, from ``grad`` of the output."""
    inputs = value, locations, weights
    working = _in_working_precision(*inputs)
    grad = grad.unflatten(2, value.shape[2:]).to(working[0].dtype).contiguous()  # -> BxQxHxD
    grads = [torch.zeros_like(tensor, memory_format=torch.contiguous_format) for tensor in working]
    maps = _maps(shapes, working[1])
    for images in _image_slices(locations):
        _fill_gradients(maps, *(tensor[images] for tensor in (grad, *working, *grads)))
    return tuple(g.to(tensor.dtype) for g, tensor in zip(grads, inputs, strict=True))


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
    """Fill the last three, which are zero, for some images."""
    table = maps.fill(value)
    top_left = torch.empty(weights.shape, dtype=torch.int32, device=weights.device)
    shares = weights.new_empty(4, *weights.shape)
    for queries in _query_slices(locations):
        corners = maps.corners(locations[:, queries])
        weight = weights[:, queries]
        products = _products(grad[:, queries], table, maps.rows(corners)).unbind(3)
        to_weight, to_x, to_y = _bilinear_gradients(products, corners)
        grad_weights[:, queries] = to_weight
        grad_locations[:, queries, ..., 0] = to_x.mul_(weight).mul_(maps.size[0])
        grad_locations[:, queries, ..., 1] = to_y.mul_(weight).mul_(maps.size[1])
        top_left[:, queries] = corners.row
        share_out(corners, weight, shares[:, :, queries])
    _add_value_gradient(maps, grad, top_left, shares, grad_value)


def _bilinear_gradients(
    products: tuple[Tensor, ...], corners: Corners
) -> tuple[Tensor, Tensor, Tensor]:
    """Value of the bilinear form of four numbers for each point, and its slopes in x and y."""
    above_left, above_right, below_left, below_right = products
    above = torch.lerp(above_left, above_right, corners.right)
    below = torch.lerp(below_left, below_right, corners.right)
    in_x = torch.lerp(above_right - above_left, below_right - below_left, corners.down)
    return torch.lerp(above, below, corners.down), in_x, below.sub_(above)


def _add_value_gradient(
    maps: PaddedMaps, grad: Tensor, top_left: Tensor, shares: Tensor, grad_value: Tensor
) -> None:
    """Add to the gradient of ``value`` (B, N, heads, head_dim) what the points send back.

    Points are sorted by their top left cell; summing their outputs' gradients cell by cell gives,
    once for each corner, a map that is that corner's part when moved by one cell.
    """
    B, _, heads, head_dim = grad_value.shape
    row, order = torch.sort((top_left + maps.image_rows(B)).flatten(), stable=True)
    all_rows = torch.arange(B * heads * maps.cells, device=row.device, dtype=row.dtype)
    first = torch.searchsorted(row, all_rows, out_int32=True)
    output = order.div(top_left[0, 0, 0].numel(), rounding_mode="floor").int()
    parts = grad_value.split([h * w for h, w in maps.shapes], dim=1)
    for corner, share in enumerate(shares):
        down, right = divmod(corner, 2)
        share = share.flatten().index_select(0, order)
        sums = F.embedding_bag(
            output, grad.view(-1, head_dim), first, mode="sum", per_sample_weights=share
        )
        grids = maps.grids(sums.view(B, heads, maps.cells, head_dim))
        for (h, w), part, grid in zip(maps.shapes, parts, grids, strict=True):
            top, left = BORDER - down, BORDER - right
            moved = grid[:, :, top : top + h, left : left + w]
            part.unflatten(1, (h, w)).add_(moved.permute(0, 2, 3, 1, 4))  # BxHxhxwxD -> BxhxwxHxD


def _weighted_rows(table: Tensor, rows: Tensor, shares: Tensor) -> Tensor:
    """Weighted sum of table rows for each output, (B, Q, heads, head_dim)."""
    corners = rows[0, 0, 0].numel()
    first = torch.arange(0, rows.numel(), corners, dtype=rows.dtype, device=rows.device)
    sums = F.embedding_bag(
        rows.view(-1), table.flatten(0, 1), first, mode="sum", per_sample_weights=shares.view(-1)
    )
    return sums.view(*rows.shape[:3], -1)


def _products(grad: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """<grad of the output, table row> for each corner, shaped as ``rows``: a sampled A @ B."""
    corners, head_dim = rows[0, 0, 0].numel(), grad.shape[-1]
    first = torch.arange(0, rows.numel() + 1, corners, dtype=rows.dtype, device=rows.device)
    outputs_grad, table = grad.reshape(-1, head_dim), table.flatten(0, 1)
    size, zeros = (len(outputs_grad), len(table)), grad.new_zeros(rows.numel())
    _use_up_the_warning_about_sparse()
    wanted = torch.sparse_csr_tensor(first, rows.view(-1), zeros, size, check_invariants=False)
    products = torch.sparse.sampled_addmm(wanted, outputs_grad, table.t(), beta=0)
    return products.values().view(rows.shape)


@cache
def _use_up_the_warning_about_sparse() -> None:
    """Let torch give its warning about sparse tensors, which it gives once, where none hears it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


def _maps(shapes: Shapes, locations: Tensor) -> PaddedMaps:
    heads, points = locations.shape[2], locations.shape[4]
    return padded_maps(shapes, heads, points, locations.dtype, locations.device)


def _image_slices(locations: Tensor) -> Iterator[slice]:
    """Several small images at a time, or one; none where there are no points."""
    if not locations.numel():
        return iter(())
    images = max(1, POINTS_PER_STEP // locations[0, ..., 0].numel())
    return (slice(start, start + images) for start in range(0, len(locations), images))


def _query_slices(locations: Tensor) -> Iterator[slice]:
    """All queries of a small image, or as many as make a step."""
    queries = max(1, POINTS_PER_STEP // locations[0, 0, ..., 0].numel())
    return (slice(start, start + queries) for start in range(0, locations.shape[1], queries))


def _in_working_precision(*tensors: Tensor) -> list[Tensor]:
    """fp64 where anything is, else fp32: half precision cannot hold an index or a location."""
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if wide else torch.float32) for tensor in tensors]
