"""Constant tensors that stay on their device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple["float | Numbers", ...]


def constant(numbers: Numbers, dtype: torch.dtype, like: Tensor) -> Tensor:
    """Return a tensor of numbers on ``like``'s device, only to be read.

    It is made once: each copy from the host waits for the GPU, and no CUDA graph can contain it.
    """
    if torch.compiler.is_exporting():  # sizes may be free
        return _stack(numbers, dtype)
    in_graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if in_graph or type(like) is not Tensor:  # a fake tensor, for example
        return like.new_tensor(numbers, dtype=dtype)
    return _constant(numbers, dtype, like.device)


def _stack(numbers: float | Numbers, dtype: torch.dtype) -> Tensor:
    if not isinstance(numbers, tuple):
        return torch.scalar_tensor(numbers, dtype=dtype)
    return torch.stack([_stack(number, dtype) for number in numbers])


@lru_cache(maxsize=512)
def _constant(numbers: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # training may need it later
        return torch.tensor(numbers, dtype=dtype, device=device)
