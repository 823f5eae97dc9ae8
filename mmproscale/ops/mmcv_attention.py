"""Attention backend ``mmcv``: the sampled sum by mmcv's compiled CUDA op."""

from __future__ import annotations

from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

from mmproscale.utils.constants import constant

Shapes = tuple[tuple[int, int], ...]
DEVICE = "cuda"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def refuses(value: Tensor) -> str | None:
    """Return the reason why the op cannot take such values, or None."""
    if value.device.type != DEVICE or value.dtype not in DTYPES:
        return f"takes fp32, fp16 and bf16 on CUDA, not {value.dtype} on {value.device}"
    if not has_compiled_ops():
        return "needs mmcv's compiled ops, which this mmcv does not have"
    return None


def forward(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Return the sums (B, Q, heads * head_dim); all tensors are in fp32 or all in fp64."""
    import mmcv._ext

    arguments = _arguments(value, shapes, locations, weights)
    return mmcv._ext.ms_deform_attn_forward(*arguments, im2col_step=len(value))


def backward(
    grad: Tensor, value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of value, locations and weights from the output's; dtypes as in forward."""
    import mmcv._ext

    arguments = _arguments(value, shapes, locations, weights)
    filled = [torch.zeros_like(arguments[i]) for i in (0, 3, 4)]
    mmcv._ext.ms_deform_attn_backward(
        *arguments, grad.contiguous(), *filled, im2col_step=len(value)
    )
    return filled[0], filled[1], filled[2]


def _arguments(
    value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor
) -> tuple[Tensor, ...]:
    starts = tuple(accumulate((h * w for h, w in shapes[:-1]), initial=0))
    sizes = (constant(numbers, torch.long, value) for numbers in (shapes, starts))
    return value.contiguous(), *sizes, locations.contiguous(), weights.contiguous()


@cache
def has_compiled_ops() -> bool:
    """Return True if ``mmcv._ext`` is the compiled extension, not the stand-in of compat."""
    import mmcv._ext

    return (mmcv._ext.__file__ or "").endswith((".so", ".pyd"))
