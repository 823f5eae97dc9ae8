"""Our deformable attention, our precision and our inference on CPUs for stock modules.

mmcv's attention module, which DINO's decoder and stock pixel decoders use, looks up two names in
its Python module: a kernel's function for CUDA, and ``multi_scale_deformable_attn_pytorch`` for
other devices. Both are replaced here, by our operator where mmcv has no kernel. mmcv's kernels do
not support bf16, and under fp16 the function would round sampling locations. So mmcv's attention
and focal loss are computed in fp32, as our operators are.

mmdet's Swin and ResNet keep their classes and weights. Where only their result on a CPU is needed,
it is computed by ``ops/swin_inference.py`` and ``ops/resnet_inference.py``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmproscale.compat.import_hooks import call_after_import

if TYPE_CHECKING:
    from torch import Tensor

MODULE = "mmcv.ops.multi_scale_deform_attn"
FALLBACK = "multi_scale_deformable_attn_pytorch"
CUDA_FUNCTION = "MultiScaleDeformableAttnFunction"
FOCAL_LOSS_MODULE = "mmcv.ops.focal_loss"
# Module of mmdet -> class, our module, our function for the class's forward.
BACKBONES = {
    "mmdet.models.backbones.swin": ("SwinTransformer", "swin_inference", "swin"),
    "mmdet.models.backbones.resnet": ("ResNet", "resnet_inference", "resnet"),
}
_replacements: list[Any] = []


def replace_ops() -> None:
    """Replace mmcv's functions and backbones' forwards when their modules are imported.

    mmcv's own fallback and the backbones' own forwards stay at ``__wrapped__``. A second call
    changes nothing.
    """
    call_after_import(MODULE, _replace)
    call_after_import(FOCAL_LOSS_MODULE, _compute_focal_loss_in_fp32)
    for name in BACKBONES:
        call_after_import(name, _infer_faster)


def _replace(module: ModuleType) -> None:
    for name, replacement_of in (
        (FALLBACK, _replacement_of),
        (CUDA_FUNCTION, _cuda_replacement_of),
    ):
        function = getattr(module, name, None)
        if function is not None and function not in _replacements:
            _replacements.append(replacement_of(function))
            setattr(module, name, _replacements[-1])


def _replacement_of(fallback: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(fallback)
    def multi_scale_deformable_attn_pytorch(
        value: Tensor,
        value_spatial_shapes: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
    ) -> Tensor:
        import torch

        from mmproscale.ops import multi_scale_deformable_attention

        # A trace of ours would hold the maps' sizes as constants; a trace of mmcv's does not.
        attend = fallback if torch.jit.is_tracing() else multi_scale_deformable_attention
        return attend(value, value_spatial_shapes, sampling_locations, attention_weights)

    return multi_scale_deformable_attn_pytorch


def _cuda_replacement_of(function: Any) -> type:
    class MultiScaleDeformableAttnFunction:
        @staticmethod
        def apply(
            value: Tensor,
            value_spatial_shapes: Tensor,
            value_level_start_index: Tensor,
            sampling_locations: Tensor,
            attention_weights: Tensor,
            im2col_step: int,
        ) -> Tensor:
            from mmproscale.ops import multi_scale_deformable_attention
            from mmproscale.ops.mmcv_attention import has_compiled_ops

            levels = value_spatial_shapes, value_level_start_index
            points = sampling_locations, attention_weights
            if not has_compiled_ops():
                return multi_scale_deformable_attention(value, levels[0], *points)
            # Ours would wait for the GPU, to know the sizes.
            out = function.apply(_wide(value), *levels, *map(_wide, points), im2col_step)
            return out.to(value.dtype)

    return MultiScaleDeformableAttnFunction


def _compute_focal_loss_in_fp32(module: ModuleType) -> None:
    function = module.SigmoidFocalLossFunction
    forward = function.forward
    if forward not in _replacements:
        _replacements.append(lambda ctx, input, *args: forward(ctx, _wide(input), *args))
        function.forward = staticmethod(_replacements[-1])


def _infer_faster(module: ModuleType) -> None:
    name, *place = BACKBONES[module.__name__]
    owner = getattr(module, name)
    if owner.forward not in _replacements:
        _replacements.append(_faster_forward(owner.forward, *place))
        owner.forward = _replacements[-1]


def _faster_forward(forward: Callable[..., Any], module: str, name: str) -> Callable[..., Any]:
    @functools.wraps(forward)
    def faster_forward(self: Any, x: Tensor, *args: Any, **options: Any) -> Any:
        from mmproscale.ops.cpu_inference import serves

        if not serves(self, x):
            return forward(self, x, *args, **options)
        ours = importlib.import_module(f"mmproscale.ops.{module}")
        return getattr(ours, name)(self, x, *args, **options)

    return faster_forward


def _wide(tensor: Tensor) -> Tensor:
    """Cast half precision to fp32."""
    return tensor.float() if tensor.dtype.itemsize == 2 else tensor
