from mmproscale.transformer_decoders.query_decoder import QueryDecoder

__all__ = ["QueryDecoder"]
