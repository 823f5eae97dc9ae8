"""Stock modules without our operator, for a comparison with what OpenMMLab is by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from mmcv.ops import multi_scale_deform_attn

from mmproscale.ops import mmcv_attention


@contextmanager
def stock_attention() -> Iterator[None]:
    """Inside, stock modules attend as without us: mmcv's compiled op or else its PyTorch form."""
    module = multi_scale_deform_attn
    fallback = module.multi_scale_deformable_attn_pytorch.__wrapped__
    compiled = torch.cuda.is_available() and not mmcv_attention.refuses(torch.zeros(1).cuda())
    with (
        mock.patch.object(module, "multi_scale_deformable_attn_pytorch", fallback),
        # On CUDA without compiled ops stock runs not at all; what it has on a CPU comes nearest.
        mock.patch.object(module, "IS_CUDA_AVAILABLE", compiled),
    ):
        yield
