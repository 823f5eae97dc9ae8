"""Keys of published detectors: DETR, and IDEA's DINO and Lite-DETR.

Sources: facebookresearch/detr, IDEA-Research/DINO and IDEA-Research/Lite-DETR (Apache-2.0); names
only.
"""

from mmproscale.utils.key_rules import KeyRule, modules

_ENCODER = ("transformer.encoder.layers.{n}", "encoder.layers.{n}")
_DECODER = ("transformer.decoder.layers.{n}", "decoder.layers.{n}")


def _renamed(layer: tuple[str, str], names: dict[str, str]) -> dict[str, str]:
    return {f"{layer[0]}.{theirs}": f"{layer[1]}.{ours}" for theirs, ours in names.items()}


def _merged(layer: tuple[str, str], theirs: str, ours: str) -> tuple[KeyRule, ...]:
    """Return the rules of a torch.nn.MultiheadAttention."""
    theirs, ours = f"{layer[0]}.{theirs}", f"{layer[1]}.{ours}.attn"
    joined = (KeyRule(f"{theirs}.in_proj_{p}", f"{ours}.in_proj_{p}") for p in ("weight", "bias"))
    return (*joined, *modules({f"{theirs}.out_proj": f"{ours}.out_proj"}))


_FFN = {"linear1": "ffn.layers.0.0", "linear2": "ffn.layers.1"}
_DEFORMABLE = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")

DETR = (
    *_merged(_ENCODER, "self_attn", "self_attn"),
    *_merged(_DECODER, "self_attn", "self_attn"),
    *_merged(_DECODER, "multihead_attn", "cross_attn"),
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


def _dino_neck(levels: int, extra: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for i in range(levels + extra):
        ours = f"neck.convs.{i}" if i < levels else f"neck.extra_convs.{i - levels}"
        names |= {f"input_proj.{i}.0": f"{ours}.conv", f"input_proj.{i}.1": f"{ours}.gn"}
    return names


def _dino(backbone_maps: int, decoder_layers: int) -> tuple[KeyRule, ...]:
    """Return DINO's table; the encoder's own prediction comes after those of the decoder."""
    last = decoder_layers
    attention = {f"self_attn.{name}": f"self_attn.{name}" for name in _DEFORMABLE}
    cross = {f"cross_attn.{name}": f"cross_attn.{name}" for name in _DEFORMABLE}
    # The cross attention comes second; IDEA numbers its norm first.
    norms = {"norm1": "norms.1", "norm2": "norms.0", "norm3": "norms.2"}
    # Lite-DETR's feed-forward network of the fine tokens.
    fine = {
        "linear12": "own_ffns.0.layers.0.0",
        "linear22": "own_ffns.0.layers.1",
        "norm22": "own_norms.0",
    }
    names = {
        **_renamed(_ENCODER, {**attention, **_FFN, "norm1": "norms.0", "norm2": "norms.1", **fine}),
        **_renamed(_DECODER, {**cross, **_FFN, **norms}),
        **_dino_neck(backbone_maps, extra=1),
        "transformer.decoder.norm": "decoder.norm",
        "transformer.decoder.ref_point_head.layers.0": "decoder.ref_point_head.layers.0",
        "transformer.decoder.ref_point_head.layers.1": "decoder.ref_point_head.layers.1",
        "transformer.tgt_embed": "query_embedding",
        "transformer.enc_output": "memory_trans_fc",
        "transformer.enc_output_norm": "memory_trans_norm",
        "transformer.enc_out_class_embed": f"bbox_head.cls_branches.{last}",
        "class_embed.{n}": "bbox_head.cls_branches.{n}",
        "label_enc": "dn_query_generator.label_embedding",
    }
    for i in range(3):
        our_layer = f"{2 * i}"
        names[f"transformer.enc_out_bbox_embed.layers.{i}"] = (
            f"bbox_head.reg_branches.{last}.{our_layer}"
        )
        names[f"bbox_embed.{{n}}.layers.{i}"] = f"bbox_head.reg_branches.{{n}}.{our_layer}"
    return (
        *_merged(_DECODER, "self_attn", "self_attn"),
        *modules(names),
        KeyRule("transformer.level_embed", "level_embed"),
    )


DINO = _dino(backbone_maps=3, decoder_layers=6)
"""DINO, and Lite-DETR's second feed-forward network, with three maps of a backbone."""
