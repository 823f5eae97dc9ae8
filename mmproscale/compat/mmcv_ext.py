"""Stand-in for `mmcv._ext`, the compiled ops that mmcv-lite and an uncompiled onedl-mmcv lack.

mmdet imports `mmcv.ops` as a whole, which only requires that every op has a name. So most names
here are functions that raise an error when they are called. Two ops call ours: focal loss (DINO)
and non-maximum suppression (DDQ). Deformable attention is in ``replaced_ops.py``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmproscale.compat.installed_packages import stack

HOW_TO_COMPILE = {
    "openmmlab": "install mmcv 2.1.0 instead of mmcv-lite",
    "onedl": "compile them by `pip install --no-deps --force-reinstall --no-cache-dir "
    "--no-build-isolation onedl-mmcv`",
}


def _missing_op(name: str) -> Callable[..., Any]:
    def op(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"mmcv was installed without its compiled ops; `{name}` needs them: "
            f"{HOW_TO_COMPILE[stack()]}"
        )

    op.__name__ = op.__qualname__ = name
    return op


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _missing_op(name)


def get_compiler_version() -> str:
    """Return the compiler for mmcv's environment report; it also stands for CUDA's."""
    return "n/a (no compiled ops)"


get_compiling_cuda_version = get_compiler_version


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that are kept, by descending score; mmcv's arguments."""
    from mmproscale.ops.detection_ops import nms

    return nms(boxes, scores, iou_threshold, offset)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N, C) with the loss of each logit, as mmcv's compiled op does.

    Args:
        input: (N, C) logits.
        target: (N,) labels, C for background.
        weight: (C,) weight of each class; empty for equal weights.
        output: (N, C), filled.
        gamma: Focusing exponent.
        alpha: Weight of the positive class.
    """
    output.copy_(_focal_loss(input, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with each loss's derivative; other arguments as in forward."""
    logits = input.detach().requires_grad_()
    with torch.enable_grad():
        loss = _focal_loss(logits, target, weight, gamma, alpha).sum()
    grad_input.copy_(torch.autograd.grad(loss, logits)[0])


def _focal_loss(
    logits: Tensor, labels: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    from mmproscale.ops.detection_ops import sigmoid_focal_loss

    loss = sigmoid_focal_loss(logits, labels, gamma, alpha)
    if not weight.numel():
        return loss
    background_weight = weight.new_ones(1)
    return loss * torch.cat([weight, background_weight])[labels][:, None]
