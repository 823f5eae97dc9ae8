"""Modulated deformable convolution (Deformable ConvNets v2, eq. 1), by several backends.

`mmcv` and `torchvision` are the compiled ops of these packages. `torch` is plain PyTorch: the taps
of the kernel are points of deformable attention with one head, and a matrix product follows. Every
backend computes in fp32 at least, also under autocast: the compiled ops have no bf16.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.ops.mmcv_attention import has_compiled_ops
from mmproscale.ops.multi_scale_deformable_attention import multi_scale_deformable_attention

Convolution = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def deformable_convolution(
    x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor, backend: str | None = None
) -> Tensor:
    """Convolve with taps that are moved and weighted at each pixel; stride 1, the size stays.

    Args:
        x: (B, C, H, W); taps outside it read zeros.
        offsets: (B, 2 k k, H, W), (dy, dx) of each tap in pixels, taps row-major.
        modulation: (B, k k, H, W), the weight of each tap.
        weight: (O, C, k, k), k odd.
        backend: One of :data:`CONVOLUTION_BACKENDS`; None for the first that is installed, but for
            ``torch`` in a trace, in a compiled graph and on the meta device.

    Returns:
        (B, O, H, W), in ``x``'s dtype.

    Raises:
        InputError: Shapes do not fit together; the backend is unknown or not installed.
    """
    _check(x, offsets, modulation, weight)
    dtype = torch.promote_types(x.dtype, torch.float32)
    tensors = (tensor.to(dtype) for tensor in (x, offsets, modulation, weight))
    return _convolution(backend, x)(*tensors).to(x.dtype)


def _convolution(backend: str | None, x: Tensor) -> Convolution:
    if backend is None:
        # Tracers and compilers don't know the compiled ops, which compute nothing for meta tensors.
        if torch.jit.is_tracing() or torch.compiler.is_compiling() or x.is_meta:
            return _sample_and_multiply
        return next(found for find in _FINDERS.values() if (found := find()))
    if backend not in _FINDERS:
        raise InputError(
            f"deformable convolution's backend={backend!r} must be one of {CONVOLUTION_BACKENDS}, "
            "or None"
        )
    found = _FINDERS[backend]()
    if found is None:
        raise InputError(
            f"deformable convolution's backend {backend!r} is not installed: install {backend} "
            "with its compiled ops, or set another backend, or None"
        )
    return found


@cache
def _mmcv() -> Convolution | None:
    if not has_compiled_ops():
        return None
    from mmcv.ops import modulated_deform_conv2d

    def convolve(*tensors: Tensor) -> Tensor:
        # The op reads all memory as NCHW, in both passes, and checks nothing.
        tensors = tuple(tensor.contiguous() for tensor in tensors)
        padding = tensors[3].shape[-1] // 2
        return modulated_deform_conv2d(*tensors, None, 1, padding, 1, 1, 1)

    return convolve


@cache
def _torchvision() -> Convolution | None:
    try:
        from torchvision.extension import _has_ops
        from torchvision.ops import deform_conv2d
    except (ImportError, RuntimeError):  # absent, or built for another torch
        return None
    if not _has_ops():
        return None

    def convolve(x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor) -> Tensor:
        padding = weight.shape[-1] // 2
        return deform_conv2d(x, offsets, weight, padding=padding, mask=modulation)

    return convolve


def _torch() -> Convolution:
    return _sample_and_multiply


# In order of preference.
_FINDERS: dict[str, Callable[[], Convolution | None]] = {
    "mmcv": _mmcv,
    "torchvision": _torchvision,
    "torch": _torch,
}
CONVOLUTION_BACKENDS = tuple(_FINDERS)


def _sample_and_multiply(x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor) -> Tensor:
    B, _, H, W = x.shape
    if torch.jit.is_tracing():  # a trace has tensors for sizes
        B, H, W = map(int, (B, H, W))
    # Outside a map zeros are read, so zeros may be padded. Locations are fractions of a side: with
    # a power of two as the side they are as exact as pixels.
    sides = H, W
    if not torch.compiler.is_exporting():  # its sizes may be free
        sides = _next_power_of_two(H), _next_power_of_two(W)
        x = F.pad(x, (0, sides[1] - W, 0, sides[0] - H))
    sampled = multi_scale_deformable_attention(
        x.flatten(2).transpose(1, 2)[:, :, None],  # BxCxHxW -> BxNx1xC
        [sides],
        _locations(offsets, weight.shape[-1], sides)[:, :, None, None, None],
        _tap_last(modulation).flatten(1)[:, :, None, None, None],
    )  # BxNkkxC, the taps of a pixel side by side
    kernel = weight.permute(0, 2, 3, 1).flatten(1)  # OxCxkxk -> OxkkC
    with _without_autocast(x.device.type):
        out = F.linear(sampled.reshape(B, H * W, -1), kernel)
    return out.unflatten(1, (H, W)).permute(0, 3, 1, 2)


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    # A context that changes nothing would stay in an exported graph.
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def _next_power_of_two(side: int) -> int:
    """Return the smallest power of two that is at least ``side``."""
    return 1 << (side - 1).bit_length()


def _locations(offsets: Tensor, size: int, sides: tuple[int, int]) -> Tensor:
    """Return the taps' locations (B, N k k, 2) as (x, y), in fractions of the sides (H', W').

    Args:
        offsets: (B, 2 k k, H, W), (dy, dx) of each tap in pixels.
        size: k.
        sides: (H', W') of the padded map.
    """
    H, W = offsets.shape[-2:]
    arange = partial(torch.arange, device=offsets.device, dtype=offsets.dtype)
    y, x = arange(H) + 0.5, arange(W) + 0.5
    taps = arange(size) - size // 2
    dy, dx = _tap_last(offsets).unflatten(3, (-1, 2)).unbind(4)  # BxHxWxkk
    y = (y[:, None, None] + taps.repeat_interleave(size) + dy) / sides[0]
    x = (x[:, None] + taps.repeat(size) + dx) / sides[1]
    return torch.stack([x, y], dim=-1).flatten(1, 3)


def _tap_last(per_tap: Tensor) -> Tensor:
    return per_tap.permute(0, 2, 3, 1)  # BxKxHxW -> BxHxWxK


def _check(x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor) -> None:
    size = weight.shape[-1] if weight.dim() == 4 else 0
    fits = (
        x.dim() == 4
        and size % 2 == 1
        and weight.shape[1:] == (x.shape[1], size, size)
        and offsets.shape == (x.shape[0], 2 * size**2, *x.shape[2:])
        and modulation.shape == (x.shape[0], size**2, *x.shape[2:])
    )
    if not fits:
        raise InputError(
            f"deformable convolution of {tuple(x.shape)} got offsets {tuple(offsets.shape)}, "
            f"modulation {tuple(modulation.shape)} and weight {tuple(weight.shape)}: these must be "
            "(B, 2 k k, H, W), (B, k k, H, W) and (O, C, k, k), k odd"
        )
