"""Query decoders of Mask2Former and PEM, with their layers."""

from mmproscale.models.query_decoders.masked_attention import MaskedAttentionLayer
from mmproscale.models.query_decoders.prototype_layer import PrototypeAttentionLayer
from mmproscale.models.query_decoders.query_decoder import QueryDecoder

__all__ = ["MaskedAttentionLayer", "PrototypeAttentionLayer", "QueryDecoder"]
