"""Precision at inference: products in half precision, and in fp32 the parts that results need so.

The weights of products are converted once. Autocast would convert them at each call, which takes a
tenth of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmproscale.errors import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRODUCTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.MultiheadAttention)
IN_FP32 = frozenset(
    ("exit_gate", "reference_points_fc", "cls_branches", "reg_branches")
    + ("fc_cls", "fc_reg", "reg_ffn")
)
"""Parts of a model that stay in fp32: bf16 would place a box of a large image 2 pixels off."""


def check_precision(precision: str, device: str | torch.device) -> torch.dtype:
    """Return a precision's type.

    Raises:
        InputError: The precision is unknown, or the device is a CPU and computes no fp16.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision '{precision}' is unknown: use {', '.join(PRECISIONS)}")
    if precision == "fp16" and torch.device(device).type == "cpu":
        raise InputError("precision fp16 is for GPUs: use bf16 on a CPU")
    return PRECISIONS[precision]


def set_precision(model: nn.Module, precision: str) -> None:
    """Have a model predict in a precision; with half precision it loses its fp32 weights.

    Args:
        model: A model with its weights, on its device; it may be wrapped.
        precision: ``'fp32'``, ``'bf16'``, or ``'fp16'`` on a GPU.

    Raises:
        InputError: As :func:`check_precision`.
    """
    device = next(model.parameters()).device
    dtype = check_precision(precision, device)
    if dtype == torch.float32:
        return
    for name, module in model.named_modules():
        if isinstance(module, BaseModel):
            for method in {"predict", "query_predictions"} & {*dir(module)}:
                call = partial(_under_autocast, getattr(module, method), device.type, dtype)
                setattr(module, method, call)
        elif isinstance(module, PRODUCTS):
            if IN_FP32.isdisjoint(name.split(".")):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(dtype)
            else:
                module.forward = partial(_in_fp32, module.forward)  # type: ignore


def _under_autocast(
    call: Callable[..., Any], device: str, dtype: torch.dtype, *args: Any, **options: Any
) -> Any:
    with torch.autocast(device, dtype):
        return call(*args, **options)


def _in_fp32(call: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    with torch.autocast(inputs[0].device.type, enabled=False):
        return call(*(tensor.float() for tensor in inputs))
