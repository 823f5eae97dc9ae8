from mmproscale.pixel_decoders.deformable_pixel_decoder import (
    DeformablePixelDecoder,
    pro_scale_pixel_decoder,
)
from mmproscale.pixel_decoders.hybrid_pixel_decoder import HybridPixelDecoder
from mmproscale.pixel_decoders.pixel_embedding import ConvPixelEmbedding, LightPixelEmbedding
from mmproscale.pixel_decoders.scheduled_encoder import ScheduledEncoder
from mmproscale.pixel_decoders.token_recalibration import TokenRecalibration

__all__ = [
    "ConvPixelEmbedding",
    "DeformablePixelDecoder",
    "HybridPixelDecoder",
    "LightPixelEmbedding",
    "ScheduledEncoder",
    "TokenRecalibration",
    "pro_scale_pixel_decoder",
]
