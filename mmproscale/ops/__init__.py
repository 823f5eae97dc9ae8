"""Operators in plain PyTorch or by compiled ops, each with several backends."""

from mmproscale.ops.multi_scale_deformable_attention import (
    BACKENDS,
    attention_backend,
    check_backend,
    multi_scale_deformable_attention,
)

__all__ = ["BACKENDS", "attention_backend", "check_backend", "multi_scale_deformable_attention"]
