"""Keys of published pixel decoders: Mask2Former and those derived from it, in both of their homes.

Sources: facebookresearch/Mask2Former (MIT), huggingface/transformers (Apache-2.0), and the keys of
the authors' released models of PRO-SCALE, ECO-M2F and PEM; names only.
"""

from mmproscale.utils.key_rules import KeyRule, modules

_LAYER = "encoder.layers.{n}"
_ATTENTION = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")


def _levels(theirs: str, ours: str) -> dict[str, str]:
    """Return the names of the projections of all levels, from low resolution to high on each side.

    Each template has `{i}` for the level.
    """
    return {theirs.format(i=i): ours.format(i=i) for i in range(3)}


DETECTRON2 = (
    *modules(
        {
            **_levels("input_proj.{i}.0", "input_convs.{i}.conv"),
            **_levels("input_proj.{i}.1", "input_convs.{i}.gn"),
            **{
                f"transformer.{_LAYER}.self_attn.{name}": f"{_LAYER}.self_attn.{name}"
                for name in _ATTENTION
            },
            f"transformer.{_LAYER}.norm1": f"{_LAYER}.norms.0",
            f"transformer.{_LAYER}.linear1": f"{_LAYER}.ffn.layers.0.0",
            f"transformer.{_LAYER}.linear2": f"{_LAYER}.ffn.layers.1",
            f"transformer.{_LAYER}.norm2": f"{_LAYER}.norms.1",
            "adapter_1.norm": "lateral_convs.0.gn",
            "layer_1.norm": "output_convs.0.gn",
            "mask_features": "mask_feature",
            # PRO-SCALE's token recalibration and ECO-M2F's gate.
            "transformer.encoder.token_excite.ops": "recalibration.phi",
            "transformer.encoder.gt.head": "exit_gate.linear",
        }
    ),
    KeyRule("transformer.level_embed", "level_encoding.weight"),
    KeyRule("adapter_1.weight", "lateral_convs.0.conv.weight"),
    KeyRule("layer_1.weight", "output_convs.0.conv.weight"),
)
"""Mask2Former's pixel decoder in detectron2, and what PRO-SCALE and ECO-M2F add to it."""

HUGGING_FACE = (
    *modules(
        {
            **_levels("input_projections.{i}.0", "input_convs.{i}.conv"),
            **_levels("input_projections.{i}.1", "input_convs.{i}.gn"),
            **{f"{_LAYER}.self_attn.{name}": f"{_LAYER}.self_attn.{name}" for name in _ATTENTION},
            f"{_LAYER}.self_attn_layer_norm": f"{_LAYER}.norms.0",
            f"{_LAYER}.fc1": f"{_LAYER}.ffn.layers.0.0",
            f"{_LAYER}.fc2": f"{_LAYER}.ffn.layers.1",
            f"{_LAYER}.final_layer_norm": f"{_LAYER}.norms.1",
            "adapter_1.0": "lateral_convs.0.conv",
            "adapter_1.1": "lateral_convs.0.gn",
            "layer_1.0": "output_convs.0.conv",
            "layer_1.1": "output_convs.0.gn",
            "mask_projection": "mask_feature",
        }
    ),
    KeyRule("level_embed", "level_encoding.weight"),
)
"""Mask2Former's and OneFormer's pixel decoder in transformers."""

PEM = modules(
    {
        # The release counts from high resolution to low.
        **{
            f"in_projections.{i}.{part}": f"input_convs.{3 - i}.{part}"
            for i in range(4)
            for part in ("conv", "bn")
        },
        "conv_avg.conv": "context_conv.conv",
        "conv_avg.bn": "context_conv.bn",
        "csm.{n}.mlp.0.mlp.0": "modulations.{n}.squeeze.conv",
        "csm.{n}.mlp.0.mlp.1": "modulations.{n}.squeeze.bn",
        "csm.{n}.mlp.0.mlp.3": "modulations.{n}.expand",
        "dcn.{n}.dcn_offset": "aggregations.{n}.conv.conv_offset",
        "dcn.{n}.dcn": "aggregations.{n}.conv",
        "dcn.{n}.dcn_bn": "aggregations.{n}.bn",
        "dcn.{n}.up_sample": "upsamplings.{n}.conv",
        "dcn.{n}.up_bn": "upsamplings.{n}.norm",
        "out.conv": "mask_feature.conv",
        "out.bn": "mask_feature.bn",
    }
)
"""PEM's convolutional pixel decoder."""
