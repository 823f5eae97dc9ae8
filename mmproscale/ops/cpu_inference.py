"""Layers for inference on a CPU, by oneDNN where PyTorch has it, and the cases that they serve.

PyTorch computes a linear layer in fp32 with another library, whose kernels are slower than oneDNN's
on some processors, and a convolution without the activation that oneDNN applies for free. The
operators below are those that ``torch.compile`` uses on CPUs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmcv.cnn.bricks.wrappers import Conv2d, Linear
from torch import Tensor, nn

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_convolution_pointwise"
)
HAS_BF16 = HAS_ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported()

ACTIVATIONS = {nn.GELU: "gelu", nn.ReLU: "relu"}
ROWS_OF_A_BAND = 8


def serves(module: nn.Module, x: Tensor) -> bool:
    """Tell whether nothing but the result of ``module(x)`` is needed, and that on a CPU.

    Gradients, training, hooks of submodules, traces, compilation and counters of operations need
    the steps of the module itself.
    """
    return (
        _needs_only_the_result(x)
        and not any(part.training for part in module.modules())
        and not any(_has_hooks(part) for part in module.modules() if part is not module)
    )


def _needs_only_the_result(x: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and not torch.jit.is_tracing()
        and type(x) is Tensor
        and x.device.type == "cpu"
        and torch._C._len_torch_dispatch_stack() == 0
    )


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def linear(layer: Any, x: Tensor, activation: str = "none") -> Tensor:
    """Return ``layer(x)``, (..., C_in) to (..., C_out), after an activation.

    Args:
        layer: A linear layer, or what stands in its place.
        x: (..., C_in); anywhere, with or without gradients.
        activation: ``'none'``, or one of the values of :data:`ACTIVATIONS`.
    """
    if _needs_only_the_result(x) and _is_plain(layer):
        return product(x, layer.weight, layer.bias, activation)
    return _activate(layer(x), activation)


def _is_plain(layer: Any) -> bool:
    is_stock = type(layer) in (nn.Linear, Linear) and "forward" not in vars(layer)
    return is_stock and not _has_hooks(layer)


def product(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Tensor:
    """Return ``F.linear(x, weight, bias)`` after an activation, as :func:`linear`."""
    if _needs_only_the_result(x) and x.numel() and weight.dtype == _product_dtype(x):
        x = x.to(weight.dtype)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")
    return _activate(F.linear(x, weight, bias), activation)


def _product_dtype(x: Tensor) -> torch.dtype | None:
    """Return the type in which a product of ``x`` is computed; None if oneDNN does not have it."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return dtype if {torch.float32: HAS_ONEDNN, torch.bfloat16: HAS_BF16}.get(dtype) else None


def _activate(x: Tensor, activation: str) -> Tensor:
    return x if activation == "none" else getattr(F, activation)(x)


def feed_forward(ffn: Any, x: Tensor, identity: Tensor) -> Tensor:
    """Return ``ffn(x, identity)``, mmcv's feed-forward of (..., C) with its residual.

    It is part of a module that :func:`serves` has found to be served.
    """
    is_stock = type(ffn) is FFN and ffn.num_fcs == 2 and ffn.add_identity
    is_exact = is_stock and getattr(ffn.layers[0][1], "approximate", "none") == "none"
    activation = ACTIVATIONS.get(type(ffn.layers[0][1])) if is_exact else None
    if activation is None:
        return ffn(x, identity=identity)
    (first, _, _), second, _ = ffn.layers
    return identity + ffn.gamma2(linear(second, linear(first, x, activation)))


def convolution_and_norm(conv: Any, norm: Any, x: Tensor, relu: bool) -> Tensor:
    """Return ``norm(conv(x))``, after a ReLU if ``relu``; the result is a new tensor.

    A batch norm in evaluation is a scale and a shift of the convolution's outputs, so its scale is
    applied to the convolution's weights, which are smaller.
    """
    if not _can_fold(conv, norm):
        x = norm(conv(x))
        return x.relu() if relu else x
    weight, bias = _folded(conv, norm)
    if HAS_ONEDNN and x.dtype == weight.dtype == torch.float32 and x.numel():
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
