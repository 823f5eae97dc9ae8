"""Stand-in for `mmcv._ext`, the compiled ops that mmcv-lite and an uncompiled onedl-mmcv lack.

mmdet imports `mmcv.ops` as a whole, which only requires that every op has a name. So most names
here are functions that raise an error when they are called. Three ops call ours: deformable
attention (Mask2Former needs it on a GPU), focal loss (DINO) and non-maximum suppression (DDQ).
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
    """Return the compiler for mmcv's environment report; the same text serves for CUDA's."""
    return "n/a (no compiled ops)"


get_compiling_cuda_version = get_compiler_version


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Compute multi-scale deformable attention by our op; mmcv's arguments.

    Args:
        value: (B, N, heads, head_dim).
        value_spatial_shapes: (levels, 2), rows (h, w).
        value_level_start_index: (levels,), not used: it follows from the shapes.
        sampling_locations: (B, Q, heads, levels, points, 2) in [0, 1], (x, y).
        attention_weights: (B, Q, heads, levels, points).
        im2col_step: Batch size of the compiled op, not used.

    Returns:
        (B, Q, heads * head_dim).
    """
    # Imported on call: importing mmcv.ops must not import the attention backends.
    from mmproscale.ops import multi_scale_deformable_attention

    shapes = [(int(h), int(w)) for h, w in value_spatial_shapes.tolist()]
    return multi_scale_deformable_attention(value, shapes, sampling_locations, attention_weights)


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
    """Fill the three gradient tensors in place, as mmcv's compiled op does.

    mmcv passes no result of the forward pass, so it runs a second time here, under autograd.
    """
    inputs = [
        tensor.detach().requires_grad_()
        for tensor in (value, sampling_locations, attention_weights)
    ]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            value=inputs[0],
            value_spatial_shapes=value_spatial_shapes,
            value_level_start_index=value_level_start_index,
            sampling_locations=inputs[1],
            attention_weights=inputs[2],
            im2col_step=im2col_step,
        )
    grads = torch.autograd.grad(output, inputs, grad_output)
    for target, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        target.copy_(grad)


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
