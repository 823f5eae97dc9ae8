"""Sampled sum of multi-scale deformable attention (Deformable DETR, eq. 3), by several backends.

The result has the values' dtype. Every backend takes locations in fp32 at least, since half
precision would move them by up to 0.06 cells of a map that is 256 cells wide, and sums in fp32 at
least. Only ``deformops`` reads half-precision values and weights as they are.

`torch.compile` and `torch.export` see ``mmproscale::multi_scale_deformable_attention`` with the
backends ``mmcv`` and ``torch``, and deformops' own operator with ``deformops``. ``grid_sample`` is
plain PyTorch, for tracers and exporters that do not know these operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmproscale.errors import InputError
from mmproscale.ops import deformops_attention, embedding_bag_attention, mmcv_attention
from mmproscale.ops.grid_sample_attention import grid_sample_attention

Shapes = tuple[tuple[int, int], ...]

# Backends of our custom operator by name: modules with `forward`, `backward` and `refuses`. The
# first two get tensors of one dtype, fp32 or fp64.
_KERNELS = {"mmcv": mmcv_attention, "torch": embedding_bag_attention}
_CHECKED = {**_KERNELS, "deformops": deformops_attention}
BACKENDS = (*_CHECKED, "grid_sample")
_contexts: list[str] = []  # backends of the open context managers, the innermost last


def multi_scale_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]] | Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    backend: str | None = None,
) -> Tensor:
    """Sum the weighted bilinear samples over levels and points, for each query and head.

    Args:
        value: (B, N, heads, head_dim), the levels' tokens one after the other.
        spatial_shapes: (H, W) of each of the L levels, with sum H * W = N; levels may be empty.
        sampling_locations: (B, Q, heads, L, P, 2) as (x, y), 0..1 over each level's map; points
            outside the map read zeros.
        attention_weights: (B, Q, heads, L, P).
        backend: ``mmcv`` (its compiled CUDA op, not for fp64), ``deformops`` (that package's
            Triton kernel on CUDA, not for fp64), ``torch`` (EmbeddingBag, any device) or
            ``grid_sample`` (any device, plain PyTorch); None for the backend of
            :func:`attention_backend`, else the fastest for the device, dtype and size.

    Returns:
        (B, Q, heads * head_dim), in ``value``'s dtype.

    Raises:
        InputError: Shapes do not fit together; the backend is unknown or cannot run here.
    """
    shapes = _as_pairs(spatial_shapes)
    tensors = value, sampling_locations, attention_weights
    _check(value, shapes, sampling_locations, attention_weights)
    backend = check_backend(_contexts[-1] if backend is None and _contexts else backend)
    if backend is None:
        backend = fastest_backend(value, shapes, sampling_locations, attention_weights)
    elif backend in _CHECKED and (reason := _CHECKED[backend].refuses(value)):
        raise InputError(f"attention backend '{backend}' {reason}: set another backend, or None")
    if backend == "grid_sample":
        value, *points = _in_working_precision(*tensors)
        return grid_sample_attention(value, shapes, *points).to(tensors[0].dtype)
    if backend == "deformops":
        return deformops_attention.deformops_attention(value, shapes, *tensors[1:])
    flat = [size for shape in shapes for size in shape]
    return _attention(*tensors, flat, backend)


@contextmanager
def attention_backend(name: str) -> Iterator[None]:
    """Compute deformable attention inside with backend ``name``, unless its config names one.

    A backward pass uses the backend of its forward pass. The choice holds for the whole process,
    not for one thread.

    Raises:
        InputError: The backend is unknown.
    """
    check_backend(name)
    _contexts.append(name)
    try:
        yield
    finally:
        _contexts.pop()


def check_backend(name: str | None) -> str | None:
    """Return the name if it is one of :data:`BACKENDS` or None.

    Raises:
        InputError: The name is unknown.
    """
    if name is not None and name not in BACKENDS:
        raise InputError(f"attention backend '{name}' is not one of {', '.join(BACKENDS)}")
    return name


@torch.library.custom_op("mmproscale::multi_scale_deformable_attention", mutates_args=())
def _attention(
    value: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    spatial_shapes: Sequence[int],
    backend: str,
) -> Tensor:
    tensors = value, sampling_locations, attention_weights
    exact_value, *points = _in_working_precision(*tensors)
    out = _KERNELS[backend].forward(exact_value, _pairs(spatial_shapes), *points)
    return out.to(value.dtype)


@torch.library.custom_op("mmproscale::multi_scale_deformable_attention_backward", mutates_args=())
def _attention_backward(
    grad: Tensor,
    value: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    spatial_shapes: Sequence[int],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    tensors = value, sampling_locations, attention_weights
    exact_value, *points = _in_working_precision(*tensors)
    grad, shapes = grad.to(exact_value.dtype), _pairs(spatial_shapes)
    of_value, of_locations, of_weights = _KERNELS[backend].backward(
        grad, exact_value, shapes, *points
    )
    return (
        of_value.to(value.dtype),
        of_locations.to(sampling_locations.dtype),
        of_weights.to(attention_weights.dtype),
    )


@_attention.register_fake
def _(
    value: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    spatial_shapes: Sequence[int],
    backend: str,
) -> Tensor:
    B, Q = sampling_locations.shape[:2]
    return value.new_empty(B, Q, value.shape[2] * value.shape[3])


@_attention_backward.register_fake
def _(
    grad: Tensor,
    value: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    spatial_shapes: Sequence[int],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = value, sampling_locations, attention_weights
    grads = [tensor.new_empty(tensor.shape) for tensor in inputs]
    return grads[0], grads[1], grads[2]


def _keep_for_backward(ctx, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.spatial_shapes, ctx.backend = inputs[3:]


def _differentiate(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    grads = _attention_backward(grad, *ctx.saved_tensors, ctx.spatial_shapes, ctx.backend)
    return *grads, None, None


_attention.register_autograd(_differentiate, setup_context=_keep_for_backward)


def fastest_backend(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> str:
    """Return the backend that is taken where none is named; arguments as for the operator."""
    if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export():
        return "grid_sample"
    # mmcv's op has no bf16, so that values would be copied to fp32.
    names = ("deformops", "mmcv") if value.dtype == torch.bfloat16 else ("mmcv", "deformops")
    for name in names:
        if _CHECKED[name].refuses(value) is None:
            return name
    if torch.compiler.is_compiling():
        return "torch"
    # On a GPU nothing else has been measured to be faster than grid_sample.
    if value.device.type != "cpu" or not _embedding_bag_is_faster(value, locations, weights):
        return "grid_sample"
    return "torch"


def _embedding_bag_is_faster(value: Tensor, locations: Tensor, weights: Tensor) -> bool:
    """Return True where ``torch`` beats ``grid_sample`` on a CPU, as docs/benchmarks.md measures.

    Its cost for a point hardly grows with head_dim, while grid_sample's does. Its backward pass
    goes over the whole table of values, even for few points.
    """
    B, N, heads, head_dim = value.shape
    work = weights.numel() * head_dim**2
    if torch.is_grad_enabled() and any(t.requires_grad for t in (value, locations, weights)):
        return work >= 40_000_000 and weights.numel() >= B * N * heads
    return work >= 2_500_000 and 4 * weights.numel() >= B * N * heads


def _in_working_precision(*tensors: Tensor) -> list[Tensor]:
    """Cast to fp64 if any tensor has it, else to fp32: half precision is too coarse for indices."""
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return [tensor.to(torch.float64 if wide else torch.float32) for tensor in tensors]


def _check(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> None:
    tokens = sum(h * w for h, w in shapes)
    fits = (
        (value.dim(), weights.dim()) == (4, 5)
        and value.is_floating_point()
        and all(h >= 0 and w >= 0 for h, w in shapes)
        and value.shape[:3] == (weights.shape[0], tokens, weights.shape[2])
        and weights.shape[3] == len(shapes)
        and locations.shape == (*weights.shape, 2)
    )
    if not fits:
        raise InputError(
            f"deformable attention over maps {list(shapes)} ({tokens} tokens) got values "
            f"{tuple(value.shape)} in {value.dtype}, locations {tuple(locations.shape)} and "
            f"weights {tuple(weights.shape)}: these must be floats (B, tokens, heads, head_dim), "
            "(B, Q, heads, levels, points, 2) and (B, Q, heads, levels, points)"
        )


def _as_pairs(shapes: Sequence[tuple[int, int]] | Tensor) -> Shapes:
    rows = shapes.tolist() if isinstance(shapes, Tensor) else shapes
    return tuple((h, w) for h, w in rows)


def _pairs(sizes: Sequence[int]) -> Shapes:
    return tuple(zip(sizes[::2], sizes[1::2], strict=True))
