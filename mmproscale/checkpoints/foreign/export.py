"""Export of a plain Mask2Former to transformers and detectron2."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmproscale.checkpoints.foreign.dimensions import measured
from mmproscale.checkpoints.foreign.for_config import hidden_differences
from mmproscale.checkpoints.foreign.sources import HEAD, SOURCES
from mmproscale.checkpoints.model_match import REBUILT
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_path, atomic_write_text
from mmproscale.utils.key_rules import map_back

TARGETS = {"hf": "huggingface-mask2former", "detectron2": "detectron2-mask2former"}
_ADDED = ("recalibration.", "exit_gate.", "modulations.")
_NO_OBJECT = 0.1


def export_weights(weights: Mapping[str, Tensor], to: str, source: str) -> dict[str, Tensor]:
    """Return a plain Mask2Former's weights under another package's keys.

    Args:
        weights: A model's `state_dict()`.
        to: One of `TARGETS`.
        source: Name of the weights, for messages.

    Raises:
        InputError: The model is not a plain Mask2Former.
    """
    # transformers has the counters of a batch norm, and builds the index of a Swin itself.
    rebuilt = REBUILT if to == "detectron2" else ("relative_position_index",)
    ours = {_ours(key): value for key, value in weights.items() if not key.endswith(rebuilt)}
    added = [key for key in ours if any(f".{name}" in key for name in _ADDED)]
    mapped = map_back(ours, SOURCES[TARGETS[to]].rules)
    other = mapped.unknown or added or _unlike(ours)
    if other or f"{HEAD}cls_embed.weight" not in ours:
        named = f" (first: {other[0]})" if other else ""
        raise InputError(
            f"{source} is not a plain Mask2Former, which --to {to} needs: {len(other)} of its "
            f"weights have no place there{named}"
        )
    return mapped.weights | _unlearned(ours, to)


def _ours(key: str) -> str:
    return HEAD + key.removeprefix("decode_head.") if key.startswith("decode_head.") else key


def _unlike(ours: Mapping[str, Tensor]) -> list[str]:
    """Return the weights that show another pixel decoder than Mask2Former's; empty for its own."""
    keys = [key for key in ours if key.endswith("self_attn.attention_weights.bias")]
    return [key for key in keys if ours[key].shape != ours[keys[0]].shape] or (
        [] if f"{HEAD}pixel_decoder.output_convs.0.conv.weight" in ours else ["output_convs.0"]
    )


def _unlearned(ours: Mapping[str, Tensor], to: str) -> dict[str, Tensor]:
    """Return the tensors that the other package's files have and no output depends on."""
    bias = ours[f"{HEAD}cls_embed.bias"]
    weight = torch.ones(len(bias), dtype=bias.dtype)
    weight[-1] = _NO_OBJECT
    last = ours.get("backbone.norm3.weight")
    if to != "hf" or last is None:
        return {"criterion.empty_weight": weight}
    norm = "model.pixel_level_module.encoder.swin.layernorm"
    return {
        "criterion.empty_weight": weight,
        f"{norm}.weight": torch.ones_like(last),
        f"{norm}.bias": torch.zeros_like(last),
    }


def hub_config(
    weights: Mapping[str, Tensor], config: Config, classes: Sequence[str] | None
) -> dict[str, Any]:
    """Return the config.json with which transformers builds the model.

    Args:
        weights: The model's `state_dict()`.
        config: Its config.
        classes: Its classes by label; None if they are unknown.

    Raises:
        InputError: Its backbone is neither a Swin nor a ResNet, or transformers computes otherwise.
    """
    shapes = {_ours(key): tuple(value.shape) for key, value in weights.items()}
    found: dict[str, Any] = measured(shapes)
    head = config.model.get("panoptic_head") or config.model.decode_head
    heads = head.transformer_decoder.layer_cfg.cross_attn_cfg.num_heads
    differences = hidden_differences(config, heads)
    if differences:
        raise InputError(f"--to hf: transformers computes otherwise: {'; '.join(differences)}")
    names = classes or [f"class {i}" for i in range(found["classes"])]
    width = found["width of the queries"]
    return {
        "architectures": ["Mask2FormerForUniversalSegmentation"],
        "model_type": "mask2former",
        "backbone_config": _backbone_config(shapes, found),
        "num_queries": found["queries"],
        "hidden_dim": width,
        "feature_size": found["width of the pixel decoder"],
        "mask_feature_size": found["channels of the mask features"],
        "encoder_layers": found["encoder layers"],
        "decoder_layers": found["decoder layers"] + 1,
        "encoder_feedforward_dim": found["feed-forward width of the encoder"],
        "dim_feedforward": found["feed-forward width of the decoder"],
        "num_attention_heads": heads,
        "pre_norm": False,
        "no_object_weight": _NO_OBJECT,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def _backbone_config(
    shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Any]
) -> dict[str, Any]:
    if "width of Swin" in found:
        return _swin_config(shapes, found)
    if "depths of ResNet" not in found:
        raise InputError("--to hf: the model's backbone is neither a Swin nor a ResNet")
    last = "conv3" if "backbone.layer1.0.conv3.weight" in shapes else "conv2"
    stages = range(1, len(found["depths of ResNet"]) + 1)
    return {
        "model_type": "resnet",
        "embedding_size": found["width of ResNet"],
        "hidden_sizes": [shapes[f"backbone.layer{i}.0.{last}.weight"][0] for i in stages],
        "depths": list(found["depths of ResNet"]),
        "layer_type": "bottleneck" if last == "conv3" else "basic",
        "out_features": [f"stage{i}" for i in stages],
    }


def _swin_config(shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Any]) -> dict[str, Any]:
    table = "backbone.stages.{}.blocks.0.attn.w_msa.relative_position_bias_table"
    stages = len(found["depths of Swin"])
    return {
        "model_type": "swin",
        "embed_dim": found["width of Swin"],
        "depths": list(found["depths of Swin"]),
        "num_heads": [shapes[table.format(stage)][1] for stage in range(stages)],
        "window_size": found["window of Swin"],
        "out_features": [f"stage{i + 1}" for i in range(stages)],
    }


def write_hub_folder(folder: Path, weights: Mapping[str, Tensor], config: dict[str, Any]) -> None:
    """Write a folder that transformers' `from_pretrained` reads.

    Raises:
        InputError: It cannot be written.
    """
    from safetensors.torch import save_file

    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(dict(weights), temporary, metadata={"format": "pt"})
    atomic_write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
