"""Keys of published detectors: DETR, and IDEA's DINO and Lite-DETR.

Sources: facebookresearch/detr, IDEA-Research/DINO and IDEA-Research/Lite-DETR (Apache-2.0); names
only.
"""

from mmproscale.utils.key_rules import KeyRule, attention, modules

_ENCODER = ("transformer.encoder.layers.{n}", "encoder.layers.{n}")
_DECODER = ("transformer.decoder.layers.{n}", "decoder.layers.{n}")


def _renamed(layer: tuple[str, str], names: dict[str, str]) -> dict[str, str]:
    return {f"{layer[0]}.{theirs}": f"{layer[1]}.{ours}" for theirs, ours in names.items()}


_FFN = {"linear1": "ffn.layers.0.0", "linear2": "ffn.layers.1"}
_DEFORMABLE = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")

DETR = (
    *attention(f"{_ENCODER[0]}.self_attn", f"{_ENCODER[1]}.self_attn.attn"),
    *attention(f"{_DECODER[0]}.self_attn", f"{_DECODER[1]}.self_attn.attn"),
    *attention(f"{_DECODER[0]}.multihead_attn", f"{_DECODER[1]}.cross_attn.attn"),
    *modules(
        {
            **_renamed(_ENCODER, {**_FFN, "norm1": "norms.0", "norm2": "norms.1"}),
            **_renamed(
                _DECODER, {**_FFN, "norm1": "norms.0", "norm2": "norms.1", "norm3": "norms.2"}
            ),
            "transformer.decoder.norm": "decoder.post_norm",
            "query_embed": "query_embedding",
            "input_proj": "neck.convs.0.conv",
            "class_embed": "bbox_head.fc_cls",
            "bbox_embed.layers.0": "bbox_head.reg_ffn.layers.0.0",
            "bbox_embed.layers.1": "bbox_head.reg_ffn.layers.1",
            "bbox_embed.layers.2": "bbox_head.fc_reg",
        }
    ),
)


def _dino() -> tuple[KeyRule, ...]:
    """Return DINO's table: three maps of a backbone and one more, six layers in the decoder.

    The encoder's own prediction comes after those of the decoder.
    """
    self_attention, cross_attention = (
        {f"{kind}_attn.{name}": f"{kind}_attn.{name}" for name in _DEFORMABLE}
        for kind in ("self", "cross")
    )
    # The cross attention comes second; IDEA numbers its norm first.
    norms = {"norm1": "norms.1", "norm2": "norms.0", "norm3": "norms.2"}
    # Lite-DETR's feed-forward network of the fine tokens.
    fine = {
        "linear12": "own_ffns.0.layers.0.0",
        "linear22": "own_ffns.0.layers.1",
        "norm22": "own_norms.0",
    }
    encoder = {**self_attention, **_FFN, "norm1": "norms.0", "norm2": "norms.1", **fine}
    names = {
        **_renamed(_ENCODER, encoder),
        **_renamed(_DECODER, {**cross_attention, **_FFN, **norms}),
        "transformer.decoder.norm": "decoder.norm",
        "transformer.decoder.ref_point_head.layers.{n}": "decoder.ref_point_head.layers.{n}",
        "transformer.tgt_embed": "query_embedding",
        "transformer.enc_output": "memory_trans_fc",
        "transformer.enc_output_norm": "memory_trans_norm",
        "transformer.enc_out_class_embed": "bbox_head.cls_branches.6",
        "class_embed.{n}": "bbox_head.cls_branches.{n}",
        "label_enc": "dn_query_generator.label_embedding",
    }
    for i, conv in enumerate(("convs.0", "convs.1", "convs.2", "extra_convs.0")):
        names |= {f"input_proj.{i}.0": f"neck.{conv}.conv", f"input_proj.{i}.1": f"neck.{conv}.gn"}
    for i in range(3):
        names[f"transformer.enc_out_bbox_embed.layers.{i}"] = f"bbox_head.reg_branches.6.{2 * i}"
        names[f"bbox_embed.{{n}}.layers.{i}"] = f"bbox_head.reg_branches.{{n}}.{2 * i}"
    return (
        *attention(f"{_DECODER[0]}.self_attn", f"{_DECODER[1]}.self_attn.attn"),
        *modules(names),
        KeyRule("transformer.level_embed", "level_embed"),
    )


DINO = _dino()
"""DINO, and Lite-DETR's second feed-forward network, with three maps of a backbone."""
