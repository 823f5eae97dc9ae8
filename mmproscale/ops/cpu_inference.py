"""Layers for inference on a CPU, by oneDNN where PyTorch has it, and the cases that they serve.

PyTorch computes a linear layer in fp32 with another library, whose kernels are slower than oneDNN's
on some processors, and a convolution without the activation that oneDNN applies for free. The
operators below are those that ``torch.compile`` uses on CPUs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.wrappers import Conv2d, Linear
from torch import Tensor, nn

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_convolution_pointwise"
)

ROWS_OF_A_BAND = 8


def serves(module: nn.Module, x: Tensor) -> bool:
    """Tell whether nothing but the result of ``module(x)`` is needed, and that on a CPU.

    Gradients, training, hooks of submodules, traces, compilation and counters of operations need
    the steps of the module itself.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and not torch.jit.is_tracing()
        and type(x) is Tensor
        and x.device.type == "cpu"
        and torch._C._len_torch_dispatch_stack() == 0
        and not any(part.training for part in module.modules())
        and not any(_has_hooks(part) for part in module.modules() if part is not module)
    )


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def linear(layer: Any, x: Tensor, activation: str = "none") -> Tensor:
    """Return ``layer(x)``, (N, C_in) to (N, C_out), after an activation ("none" or "gelu")."""
    if type(layer) in (nn.Linear, Linear) and _by_onednn(x, layer.weight):
        weight, bias = layer.weight, layer.bias
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")
    x = layer(x)
    return F.gelu(x) if activation == "gelu" else x


def convolution_and_norm(conv: Any, norm: Any, x: Tensor, relu: bool) -> Tensor:
    """Return ``norm(conv(x))``, after a ReLU if ``relu``; the result is a new tensor.

    A batch norm in evaluation is a scale and a shift of the convolution's outputs, so its scale is
    applied to the convolution's weights, which are smaller.
    """
    if not _can_fold(conv, norm):
        x = norm(conv(x))
        return x.relu() if relu else x
    weight, bias = _folded(conv, norm)
    if _by_onednn(x, weight):
        sizes = conv.padding, conv.stride, conv.dilation, conv.groups
        activation = "relu" if relu else "none"
        return torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *sizes, activation, [], "")
    x = F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    return x.relu_() if relu else x


def max_pool_3x3(x: Tensor) -> Tensor:
    """Return ``F.max_pool2d(x, 3, 1, 1)`` of maps (B, C, H, W), channels last.

    PyTorch also computes the indices of the largest values, which only gradients need. Here bands
    of rows are compared with their neighbours while they are in the processor's cache.
    """
    rows = x.permute(0, 2, 3, 1)
    out = torch.empty(rows.shape, dtype=x.dtype)
    height = x.shape[2]
    for image, result in zip(rows, out, strict=True):
        for top in range(0, height, ROWS_OF_A_BAND):
            end = min(top + ROWS_OF_A_BAND, height)
            above, below = min(top, 1), min(height - end, 1)
            band = image[top - above : end + below]
            wide = band.clone()
            _raise(wide[:, 1:], band[:, :-1])
            _raise(wide[:, :-1], band[:, 1:])
            inner = result[top:end].copy_(wide[above : above + end - top])
            _raise(inner[1 - above :], wide[: end - top - 1 + above])
            _raise(inner[: end - top - 1 + below], wide[above + 1 :])
    return out.permute(0, 3, 1, 2)


def _raise(values: Tensor, others: Tensor) -> None:
    """Replace values by the larger ones of two tensors."""
    torch.maximum(values, others, out=values)


def _can_fold(conv: Any, norm: Any) -> bool:
    return (
        type(conv) in (nn.Conv2d, Conv2d)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm)
        and not norm.training
        and norm.running_var is not None
        and norm.weight is not None
        and not torch.is_autocast_enabled("cpu")
    )


def _folded(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Return weights and bias of the convolution that includes the norm."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        bias = bias + conv.bias * scale
    return conv.weight * scale[:, None, None, None], bias


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    is_single = x.dtype == weight.dtype == torch.float32
    return HAS_ONEDNN and is_single and x.numel() > 0 and not torch.is_autocast_enabled("cpu")
