"""Pixel decoders: from backbone maps to encoded maps and mask features."""

from mmproscale.models.pixel_decoders.deformable_pixel_decoder import (
    DeformablePixelDecoder,
    pro_scale_pixel_decoder,
)
from mmproscale.models.pixel_decoders.hybrid_pixel_decoder import HybridPixelDecoder
from mmproscale.models.pixel_decoders.pem_pixel_decoder import (
    ContextModulation,
    DeformableConvolution,
    PEMPixelDecoder,
)
from mmproscale.models.pixel_decoders.pixel_decoder import Encoded, PixelDecoder
from mmproscale.models.pixel_decoders.pixel_embedding import (
    ConvPixelEmbedding,
    LightPixelEmbedding,
)

__all__ = [
    "ContextModulation",
    "ConvPixelEmbedding",
    "DeformableConvolution",
    "DeformablePixelDecoder",
    "Encoded",
    "HybridPixelDecoder",
    "LightPixelEmbedding",
    "PEMPixelDecoder",
    "PixelDecoder",
    "pro_scale_pixel_decoder",
]
