"""mmcv's own PyTorch form of deformable attention, which compat replaces by ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from mmcv.ops import multi_scale_deform_attn
from torch import Tensor


def mmcv_fallback() -> Callable[..., Tensor]:
    """Return the function that mmcv comes with."""
    return multi_scale_deform_attn.multi_scale_deformable_attn_pytorch.__wrapped__


@contextmanager
def stock_as_it_is() -> Iterator[None]:
    """Have stock modules compute deformable attention as they do without us."""
    name = "multi_scale_deformable_attn_pytorch"
    with mock.patch.object(multi_scale_deform_attn, name, mmcv_fallback()):
        yield


def attention_inputs(
    shapes: list[tuple[int, int]],
    images: int = 2,
    queries: int = 11,
    heads: int = 3,
    head_dim: int = 4,
    points: int = 2,
    dtype: torch.dtype = torch.float64,
    outside: float = 0.2,
) -> tuple[Tensor, Tensor, Tensor]:
    """Random value, locations and weights that want gradients.

    Locations reach as far out of each map, of size 1, as ``outside`` says.
    """
    of_points = images, queries, heads, len(shapes), points
    tokens = sum(h * w for h, w in shapes)
    value = torch.randn(images, tokens, heads, head_dim, dtype=dtype)
    locations = torch.rand(*of_points, 2, dtype=dtype) * (1 + 2 * outside) - outside
    weights = torch.rand(of_points, dtype=dtype)
    return value.requires_grad_(), locations.requires_grad_(), weights.requires_grad_()


def output_and_gradients(
    attend: Callable[..., Tensor], inputs: tuple[Tensor, ...], *more: object
) -> tuple[Tensor, ...]:
    """``attend(*inputs, *more)``, and the gradients of ``inputs`` for a fixed random probe."""
    output = attend(*inputs, *more)
    generator = torch.Generator().manual_seed(1)
    probe = torch.randn(output.shape, generator=generator, dtype=output.dtype)
    return output, *torch.autograd.grad(output, inputs, probe.to(output.device))
