"""Stand-ins for compiled ops: they take what the compiled ones take, and compute in plain PyTorch.

The compiled ops read raw memory. Some of them check nothing, and return wrong values for a tensor
that is not contiguous; here that is an error.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.float16)


def check(op: str, dtypes: tuple[torch.dtype, ...], **tensors: Tensor) -> None:
    """Raise as the compiled op does, or as it should: dtypes, devices, memory."""
    first = next(iter(tensors.values()))
    if first.dtype not in dtypes:
        raise RuntimeError(f'"{op}" not implemented for {first.dtype}')
    for name, tensor in tensors.items():
        if tensor.dtype != first.dtype:
            raise RuntimeError(f"{op}: {name} is {tensor.dtype}, expected {first.dtype}")
        if tensor.device != first.device:
            raise RuntimeError(f"{op}: {name} is on {tensor.device}, expected {first.device}")
        if not tensor.is_contiguous():
            raise RuntimeError(f"{op} reads {name} as contiguous, its strides: {tensor.stride()}")


def modulated_convolution(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Sum over the moved taps, (B, O, H, W), in fp64; same size, stride 1."""
    dtype, (H, W), size = x.dtype, x.shape[2:], weight.shape[-1]
    x, offset, mask, weight = (tensor.double() for tensor in (x, offset, mask, weight))
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in (H, W))
    out = x.new_zeros(len(x), len(weight), H, W)
    for tap in range(size**2):
        row, column = divmod(tap, size)
        y = rows[:, None] + row - size // 2 + offset[:, 2 * tap]
        across = columns + column - size // 2 + offset[:, 2 * tap + 1]
        grid = torch.stack([(2 * across + 1) / W - 1, (2 * y + 1) / H - 1], dim=-1)
        sampled = F.grid_sample(x, grid, align_corners=False) * mask[:, tap, None]
        out = out + torch.einsum("oc,bchw->bohw", weight[:, :, row, column], sampled)
    return out.to(dtype)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Fill ``output``; stride 1, no dilation, no groups, no bias."""
    tensors = dict(input=input, weight=weight, offset=offset, mask=mask, output=output)
    check("modulated_deformable_im2col_cpu", FLOATS, **tensors)
    _check_geometry(weight, geometry)
    output.copy_(modulated_convolution(input, offset, mask, weight))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **geometry: int,
) -> None:
    """Add to the gradients, which are zero."""
    tensors = dict(input=input, offset=offset, mask=mask, weight=weight)
    filled = dict(input=grad_input, offset=grad_offset, mask=grad_mask, weight=grad_weight)
    check("col2im", FLOATS, **tensors, grad_output=grad_output)
    check("col2im", FLOATS, **{f"grad_{name}": tensor for name, tensor in filled.items()})
    _check_geometry(weight, geometry)
    gradients = _gradients(modulated_convolution, tuple(tensors.values()), grad_output)
    for tensor, gradient in zip(filled.values(), gradients, strict=True):
        tensor.add_(gradient)


def _check_geometry(weight: Tensor, geometry: dict[str, int]) -> None:
    size = weight.shape[-1]
    same = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    same |= dict(kernel_h=size, kernel_w=size, pad_h=size // 2, pad_w=size // 2)
    assert geometry == same | dict(group=1, deformable_group=1, with_bias=False)


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return the sums (B, Q, heads * head_dim)."""
    from helpers.stock_attention import mmcv_fallback

    sizes = dict(shapes=value_spatial_shapes, starts=value_level_start_index)
    tensors = dict(value=value, locations=sampling_locations, weights=attention_weights)
    check("ms_deform_attn_forward_cuda", FLOATS, **tensors)
    check("ms_deform_attn_forward_cuda", (torch.int64,), **sizes)
    assert value_spatial_shapes.device == value.device
    cells = value_spatial_shapes.prod(1).cumsum(0)
    assert value_level_start_index.tolist() == [0, *cells[:-1].tolist()]
    assert len(value) % min(len(value), im2col_step) == 0
    return mmcv_fallback()(value, value_spatial_shapes, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add to the gradients, which are zero."""
    filled = dict(
        grad_value=grad_value,
        grad_sampling_loc=grad_sampling_loc,
        grad_attn_weight=grad_attn_weight,
    )
    check("ms_deform_attn_backward_cuda", FLOATS, value=value, grad_output=grad_output, **filled)
    sizes = value_spatial_shapes, value_level_start_index

    def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return ms_deform_attn_forward(value, *sizes, locations, weights, im2col_step)

    inputs = value, sampling_locations, attention_weights
    gradients = _gradients(attend, inputs, grad_output)
    for tensor, gradient in zip(filled.values(), gradients, strict=True):
        tensor.add_(gradient)


def _gradients(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], grad: Tensor
) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    # Autograd is off inside an operator of ours; a new thread has it.
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(lambda: torch.autograd.grad(function(*leaves), leaves, grad))
    return run.result()


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` with the loss of each logit."""
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

    floats = dict(input=input, output=output) | (dict(weight=weight) if weight.numel() else {})
    check("sigmoid_focal_loss_forward_cuda_kernel", FLOATS, **floats)
    check("sigmoid_focal_loss_forward_cuda_kernel", (torch.int64,), target=target)
    one_hot = F.one_hot(target, input.shape[1] + 1)[:, :-1]
    loss = py_sigmoid_focal_loss(input, one_hot, None, gamma, alpha, "none")
    output.copy_(loss * weight[target][:, None] if weight.numel() else loss)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` with the derivative of each loss."""

    def loss(logits: Tensor) -> Tensor:
        output = torch.zeros_like(logits)
        sigmoid_focal_loss_forward(logits, target, weight, output, gamma, alpha)
        return output

    (gradient,) = _gradients(loss, (input,), torch.ones_like(input))
    grad_input.copy_(gradient)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that stay; boxes need not be contiguous."""
    from mmproscale.ops import detection_ops

    check("nms", (torch.float32,), boxes=boxes.contiguous())
    return detection_ops.nms(boxes, scores, iou_threshold, offset)


def deform_conv2d(
    input: Tensor, offset: Tensor, weight: Tensor, padding: int, mask: Tensor
) -> Tensor:
    """Compute as torchvision's op, which makes its inputs contiguous."""
    tensors = dict(input=input, offset=offset, weight=weight, mask=mask)
    check("deform_conv2d", FLOATS, **{name: t.contiguous() for name, t in tensors.items()})
    assert padding == weight.shape[-1] // 2
    return modulated_convolution(input, offset, mask, weight)


# Compiled mmcv has the first ones for CPUs, the others only for CUDA.
ON_CPU = (modulated_deform_conv_forward, modulated_deform_conv_backward, nms)
ONLY_ON_CUDA = (
    ms_deform_attn_forward,
    ms_deform_attn_backward,
    sigmoid_focal_loss_forward,
    sigmoid_focal_loss_backward,
)


def put_into(extension: ModuleType, monkeypatch: Any, is_compiled: bool) -> None:
    """Put the stand-ins into ``mmcv._ext``: all, or those that a compiled one lacks on a CPU."""
    for op in ONLY_ON_CUDA if is_compiled else (*ON_CPU, *ONLY_ON_CUDA):
        monkeypatch.setattr(extension, op.__name__, op, raising=False)
