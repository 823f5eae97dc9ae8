"""Stock modules sample with our operator wherever mmcv falls back to its PyTorch form.

mmcv has a kernel for CUDA alone. Elsewhere its attention module, and with it DINO's decoder or a
stock pixel decoder, calls ``multi_scale_deformable_attn_pytorch`` by its module's name, each time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from mmproscale.compat.after_import import call_after_import

if TYPE_CHECKING:
    from torch import Tensor

MODULE = "mmcv.ops.multi_scale_deform_attn"
FALLBACK = "multi_scale_deformable_attn_pytorch"
_ours: list[Callable[..., Tensor]] = []


def replace_attention_fallback() -> None:
    """Put our operator in the place of mmcv's fallback when mmcv is imported; once.

    mmcv's own stays at ``__wrapped__``.
    """
    call_after_import(MODULE, _replace)


def _replace(module: ModuleType) -> None:
    fallback = getattr(module, FALLBACK, None)
    if fallback is not None and fallback not in _ours:
        _ours.append(_calling_ours(fallback))
        setattr(module, FALLBACK, _ours[-1])


def _calling_ours(fallback: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(fallback)
    def multi_scale_deformable_attn_pytorch(
        value: Tensor,
        value_spatial_shapes: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
    ) -> Tensor:
        import torch

        from mmproscale.ops import multi_scale_deformable_attention

        # Into a trace ours would write the maps' sizes as numbers; mmcv's form keeps them free.
        attend = fallback if torch.jit.is_tracing() else multi_scale_deformable_attention
        return attend(value, value_spatial_shapes, sampling_locations, attention_weights)

    return multi_scale_deformable_attn_pytorch
