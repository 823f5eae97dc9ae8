"""Attention backend ``mmcv``: the sampled sum by mmcv's compiled CUDA op."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

Shapes = tuple[tuple[int, int], ...]


def refuses(value: Tensor) -> str | None:
    """Return the reason why the op cannot take such values, or None."""
    if not value.is_cuda or value.dtype not in (torch.float32, torch.float16):
        return f"takes fp32 and fp16 on CUDA, not {value.dtype} on {value.device}"
    if not has_compiled_ops():
        return "needs mmcv's compiled ops, which this mmcv does not have"
    return None


def forward(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Return the sums (B, Q, heads * head_dim) in ``value``'s dtype, as the operator does."""
    import mmcv._ext

    arguments = _arguments(value, shapes, locations, weights)
    return mmcv._ext.ms_deform_attn_forward(*arguments, im2col_step=len(value))


def backward(
    grad: Tensor, value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of value, locations and weights, in their dtypes, from the output's."""
    import mmcv._ext

    arguments = _arguments(value, shapes, locations, weights)
    filled = [torch.zeros_like(arguments[i]) for i in (0, 3, 4)]
    grad = grad.to(value.dtype).contiguous()
    mmcv._ext.ms_deform_attn_backward(*arguments, grad, *filled, im2col_step=len(value))
    return filled[0], filled[1].to(locations.dtype), filled[2].to(weights.dtype)


def _arguments(
    value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, ...]:
    sizes = torch.tensor(shapes, device=value.device)
    starts = torch.cat([sizes.new_zeros(1), sizes.prod(1).cumsum(0)[:-1]])
    floats = (tensor.to(value.dtype).contiguous() for tensor in (locations, weights))
    return value.contiguous(), sizes, starts, *floats


@cache
def has_compiled_ops() -> bool:
    """Return True if ``mmcv._ext`` is the compiled extension, not the stand-in of compat."""
    import mmcv._ext

    return (mmcv._ext.__file__ or "").endswith((".so", ".pyd"))
