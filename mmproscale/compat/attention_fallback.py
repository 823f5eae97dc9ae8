"""Our deformable attention for stock modules, wherever mmcv has no kernel for the device.

mmcv has a kernel only for CUDA. On other devices its attention module, which DINO's decoder and
stock pixel decoders use, looks up ``multi_scale_deformable_attn_pytorch`` in its module and calls
it. That name is replaced here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from mmproscale.compat.import_hooks import call_after_import

if TYPE_CHECKING:
    from torch import Tensor

MODULE = "mmcv.ops.multi_scale_deform_attn"
FALLBACK = "multi_scale_deformable_attn_pytorch"
_replacements: list[Callable[..., Tensor]] = []


def replace_attention_fallback() -> None:
    """Replace mmcv's fallback by our operator, when mmcv's module is imported.

    mmcv's own function stays at ``__wrapped__``. A second call changes nothing.
    """
    call_after_import(MODULE, _replace)


def _replace(module: ModuleType) -> None:
    fallback = getattr(module, FALLBACK, None)
    if fallback is not None and fallback not in _replacements:
        _replacements.append(_replacement_of(fallback))
        setattr(module, FALLBACK, _replacements[-1])


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
