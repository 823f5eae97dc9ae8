"""From backbone maps to encoded maps and mask features.

Schedules need no torch, so nothing is imported here before it is asked for.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "ContextModulation": "context_modulation",
    "ConvPixelEmbedding": "pixel_embedding",
    "DeformableConvolution": "deformable_convolution",
    "DeformablePixelDecoder": "deformable_pixel_decoder",
    "ExitGate": "exit_gate",
    "HybridPixelDecoder": "hybrid_pixel_decoder",
    "LightPixelEmbedding": "pixel_embedding",
    "PEMPixelDecoder": "pem_pixel_decoder",
    "PixelDecoder": "pixel_decoder",
    "ScheduledEncoder": "scheduled_encoder",
    "TokenRecalibration": "token_recalibration",
    "pro_scale_pixel_decoder": "deformable_pixel_decoder",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
