from mmproscale.transformer_decoders.masked_attention import MaskedAttentionLayer
from mmproscale.transformer_decoders.prototype_layer import PrototypeAttentionLayer
from mmproscale.transformer_decoders.query_decoder import QueryDecoder

__all__ = ["MaskedAttentionLayer", "PrototypeAttentionLayer", "QueryDecoder"]
