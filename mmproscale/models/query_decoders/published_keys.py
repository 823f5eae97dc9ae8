"""Keys of published query decoders: Mask2Former in detectron2 and transformers, and PEM.

Sources: facebookresearch/Mask2Former (MIT), huggingface/transformers (Apache-2.0), and the keys of
the authors' released models of PEM; names only. Our side is a mask head: queries, decoder, and the
layers that predict.
"""

from mmproscale.utils.key_rules import FLATTENED, MERGED, KeyRule, attention, modules

_LAYER = "transformer_decoder.layers.{n}"
_CROSS, _SELF, _FFN = (
    f"transformer_{name}_layers.{{n}}" for name in ("cross_attention", "self_attention", "ffn")
)
_EMBEDDINGS = {name: name for name in ("query_feat", "query_embed", "level_embed")}
_QKV = ("q_proj", "k_proj", "v_proj")
_PREDICTION = modules(
    {
        **_EMBEDDINGS,
        "decoder_norm": "transformer_decoder.post_norm",
        "class_embed": "cls_embed",
        **{f"input_proj.{i}": f"decoder_input_projs.{i}" for i in range(3)},
        **{f"mask_embed.layers.{i}": f"mask_embed.{2 * i}" for i in range(3)},
        "static_query": "query_feat",  # the name in the first release
    }
)
_SELF_AND_FFN = (
    *attention(f"{_SELF}.self_attn", f"{_LAYER}.self_attn.attn"),
    *modules(
        {
            f"{_FFN}.linear1": f"{_LAYER}.ffn.layers.0.0",
            f"{_FFN}.linear2": f"{_LAYER}.ffn.layers.1",
        }
    ),
)

DETECTRON2 = (
    *_PREDICTION,
    *_SELF_AND_FFN,
    *attention(f"{_CROSS}.multihead_attn", f"{_LAYER}.cross_attn.attn"),
    *modules(
        {
            f"{_CROSS}.norm": f"{_LAYER}.norms.0",
            f"{_SELF}.norm": f"{_LAYER}.norms.1",
            f"{_FFN}.norm": f"{_LAYER}.norms.2",
        }
    ),
)
"""Mask2Former's predictor in detectron2."""

PEM = (
    *_PREDICTION,
    *_SELF_AND_FFN,
    KeyRule(f"{_CROSS}.alpha", f"{_LAYER}.cross_attn.alpha", FLATTENED),
    *modules(
        {
            f"{_CROSS}.{theirs}": f"{_LAYER}.cross_attn.{ours}"
            for theirs, ours in {
                "feature_proj.to_query_3x3": "memory_conv",
                "feature_proj.bn": "memory_norm",
                "feature_proj.out": "memory_proj",
                "query_proj.0": "query_norm",
                "query_proj.1": "query_proj",
                "proj": "interaction",
                "final": "out_proj",
            }.items()
        }
    ),
    *modules({f"{_SELF}.norm": f"{_LAYER}.norms.0", f"{_FFN}.norm": f"{_LAYER}.norms.1"}),
)
"""PEM's predictor: its cross attention has no norm of its own."""

_T = "transformer_module"
_HF_LAYER = f"{_T}.decoder.layers.{{n}}"
HUGGING_FACE = (
    *modules(
        {
            f"{_T}.queries_embedder": "query_embed",
            f"{_T}.queries_features": "query_feat",
            f"{_T}.level_embed": "level_embed",
            **{f"{_T}.input_projections.{i}": f"decoder_input_projs.{i}" for i in range(3)},
            f"{_HF_LAYER}.self_attn.out_proj": f"{_LAYER}.self_attn.attn.out_proj",
            f"{_HF_LAYER}.cross_attn_layer_norm": f"{_LAYER}.norms.0",
            f"{_HF_LAYER}.self_attn_layer_norm": f"{_LAYER}.norms.1",
            f"{_HF_LAYER}.fc1": f"{_LAYER}.ffn.layers.0.0",
            f"{_HF_LAYER}.fc2": f"{_LAYER}.ffn.layers.1",
            f"{_HF_LAYER}.final_layer_norm": f"{_LAYER}.norms.2",
            f"{_T}.decoder.layernorm": "transformer_decoder.post_norm",
            **{
                f"{_T}.decoder.mask_predictor.mask_embedder.{i}.0": f"mask_embed.{2 * i}"
                for i in range(3)
            },
        }
    ),
    *attention(f"{_HF_LAYER}.cross_attn", f"{_LAYER}.cross_attn.attn"),
    *(
        KeyRule(
            tuple(f"{_HF_LAYER}.self_attn.{name}.{p}" for name in _QKV),
            f"{_LAYER}.self_attn.attn.in_proj_{p}",
            MERGED,
        )
        for p in ("weight", "bias")
    ),
)
"""Mask2Former's transformer in transformers, below its model; the class layer stands above it."""
