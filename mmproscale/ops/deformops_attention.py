"""Attention backend ``deformops``: the sampled sum by the Triton kernel of the package deformops.

deformops (MIT) is optional and needs Python 3.12. Its operator is differentiable, and compilers and
exporters keep it as one operator. The kernel reads values in their own precision and sums in fp32,
in the gradient of the values too, as :data:`KERNEL` does on every GPU.
"""

from __future__ import annotations

import importlib.util
from itertools import accumulate

import torch
from torch import Tensor

from mmproscale.ops.grid_sample_attention import grid_sample_attention
from mmproscale.utils.constants import constant

Shapes = tuple[tuple[int, int], ...]
DEVICE = "cuda"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Named, not chosen by deformops, which sums bf16 gradients in bf16 on compute capability 9.0.
KERNEL = "triton"


def refuses(value: Tensor) -> str | None:
    """Return the reason why the kernel cannot take such values, or None."""
    if value.device.type != DEVICE or value.dtype not in DTYPES:
        return f"takes fp32, fp16 and bf16 on CUDA, not {value.dtype} on {value.device}"
    return _missing(value.device.index or 0)


def deformops_attention(
    value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor
) -> Tensor:
    """Return the sampled sums (B, Q, heads * head_dim), differentiably, in the values' dtype."""
    from deformops.registry import Backend, msda

    if 0 in weights.shape or any(h * w == 0 for h, w in shapes):  # deformops takes none empty
        inputs = (tensor.float() for tensor in (locations, weights))
        return grid_sample_attention(value.float(), shapes, *inputs).to(value.dtype)
    starts = tuple(accumulate((h * w for h, w in shapes[:-1]), initial=0))
    sizes = (constant(numbers, torch.long, value) for numbers in (shapes, starts))
    points = locations.float(), weights.to(value.dtype)
    return msda(value, *sizes, *points, backend=Backend(KERNEL)).to(value.dtype)


@torch.compiler.assume_constant_result
def _missing(gpu: int) -> str | None:
    """Return what keeps the kernel from running on a GPU, or None."""
    if importlib.util.find_spec("deformops") is None:
        return "needs the package deformops (Python 3.12): pip install 'mmproscale[gpu]'"
    from deformops.registry import Backend, msda

    if not msda.is_registered(Backend(KERNEL)):
        return f"can't run here: {msda.unavailable_reason(Backend(KERNEL))}"
    if torch.cuda.get_device_capability(gpu) < (7, 0):
        return "needs a GPU of compute capability 7.0 or higher"
    return None
