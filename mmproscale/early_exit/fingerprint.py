"""Which model a derived dataset is of: a hash of every weight but the gate's.

The gate is what step C changes, so it must not count; anything else that changes makes the stored
vectors and qualities those of another model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from mmproscale.checkpoints.model_match import REBUILT


def fingerprint(weights: Mapping[str, Tensor], gate: str) -> str:
    """Hash of a checkpoint's weights, as 64 hexadecimal digits.

    Args:
        weights: Name -> tensor. Names, types, shapes and bytes count; buffers that a model rebuilds
            by itself do not.
        gate: Names that start with it are the gate's.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        if name.startswith(f"{gate}.") or name.endswith(REBUILT):
            continue
        weight = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
