"""Conversion for a config: its settings, its classes, and the configs that fit a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from torch import Tensor

from mmproscale.checkpoints.foreign.class_lists import config_classes
from mmproscale.checkpoints.foreign.conversion import Conversion, convert_weights
from mmproscale.checkpoints.foreign.dimensions import measured
from mmproscale.checkpoints.foreign.reading import ForeignFile
from mmproscale.checkpoints.foreign.sources import HEAD, SOURCES
from mmproscale.errors import InputError
from mmproscale.utils.config import CONFIGS
from mmproscale.utils.key_rules import map_keys

_RESNETS = {(2, 2, 2, 2): "r18", (3, 4, 6, 3): "r50", (3, 4, 23, 3): "r101"}
_SWINS = {
    (96, (2, 2, 6, 2)): "swin-t",
    (96, (2, 2, 18, 2)): "swin-s",
    (128, (2, 2, 18, 2)): "swin-b",
    (192, (2, 2, 18, 2)): "swin-l",
}
_SEGMENTED = {
    133: ("coco",),
    80: ("coco-instance",),
    150: ("ade20k", "ade20k-semantic"),
    19: ("cityscapes", "cityscapes-semantic"),
}
_DETECTED = {80: ("coco",), 91: ("coco",)}
# Keys of our own and mmdet's models, and the beginning of the names of their configs.
_METHODS = (
    ("pixel_decoder.modulations.", "pem_m2f"),
    ("pixel_decoder.recalibration.", "proscale_m2f"),
    ("pixel_decoder.exit_gate.", "eco_m2f"),
    # Lite-DETR has a second feed-forward network in each layer over all tokens: one, or three.
    ("encoder.layers.1.own_ffns.", "lite-x3_dino"),
    ("encoder.layers.5.own_ffns.", "lite_dino"),
    ("dn_query_generator.", "dino"),
    ("bbox_head.fc_cls.", "detr"),
    ("pixel_decoder.encoder.", "m2f"),
)
_ATTENTIONS = (
    "pixel_decoder.encoder.layer_cfg.self_attn_cfg.num_heads",
    "transformer_decoder.layer_cfg.self_attn_cfg.num_heads",
    "transformer_decoder.layer_cfg.cross_attn_cfg.num_heads",
)
_GROUPS = "pixel_decoder.norm_cfg.num_groups"
# Mask2Former's own, in transformers and detectron2.
NUM_HEADS, NUM_GROUPS = 8, 32


def apply_settings(config: Config, kind: str) -> dict[str, Any]:
    """Set, in a config's model, what makes it compute as a source does; return the options."""
    settings = {f"model.{key}": value for key, value in _settings(config, kind).items()}
    config.merge_from_dict(settings)
    return settings


def _settings(config: Config, kind: str) -> dict[str, Any]:
    head = "decode_head." if "decode_head" in config.model else HEAD
    return {key.replace(HEAD, head): value for key, value in SOURCES[kind].settings.items()}


def convert_for_config(
    file: ForeignFile,
    config: Config | None,
    target: Mapping[str, Tensor],
    partial: bool = False,
    classes: Sequence[str] | None = None,
    source: str | None = None,
) -> Conversion:
    """Convert published weights for a config's model.

    Args:
        file: The source, of a known kind.
        config: The model's config; None where it is unknown.
        target: The model's `state_dict()`.
        partial: As in `convert_weights`.
        classes: The model's classes by label, where they are known otherwise than by the config.
        source: Name of the source for messages; by default its path.

    Raises:
        InputError: The source is of an unknown kind, `convert_weights` refuses it, or the config's
            model computes otherwise.
    """
    kind, source = known_kind(file), source or str(file.path)
    known = config is not None and "model" in config and not SOURCES[kind].is_backbone
    conversion = convert_weights(
        file.weights,
        kind,
        target,
        found_classes=file.classes,
        wanted_classes=classes or (config_classes(config) if config is not None else None),
        partial=partial,
        source=source,
    )
    if config is None or not known:
        return conversion
    differences, unmet = differences_of_file(file, config), _unmet(config, kind)
    if (differences or unmet) and not partial:
        problems = "; ".join((*differences, *unmet))
        raise InputError(f"{source} does not fit the config's model: {problems}")
    conversion.differences += differences
    conversion.notes += unmet
    return conversion


def _unmet(config: Config, kind: str) -> list[str]:
    """Return one line if a config lacks settings with which it computes as the source."""
    settings = _settings(config, kind).items()
    unmet = [f"model.{key}={v}" for key, v in settings if _value(config.model, key) != v]
    return [f"it computes otherwise: add --cfg-options {' '.join(unmet)}"] if unmet else []


def known_kind(file: ForeignFile) -> str:
    """Return the kind of a source.

    Raises:
        InputError: It is unknown.
    """
    if file.kind is not None:
        return file.kind
    first = ", ".join(list(file.weights)[:3])
    raise InputError(
        f"{file.path} is of an unknown kind ({len(file.weights)} keys: {first}, ...): known are "
        f"{', '.join(SOURCES)}"
    )


def differences_of_file(file: ForeignFile, config: Config) -> tuple[str, ...]:
    """Return the differences between a Mask2Former and a config that weights do not show."""
    if not str(file.kind).startswith(("huggingface-", "detectron2-")):
        return ()
    heads = file.config.get("num_attention_heads", NUM_HEADS)
    lines = hidden_differences(config, heads)
    if file.config.get("pre_norm"):
        lines += ("pre_norm: true in config.json; here the norms follow",)
    return lines


def hidden_differences(config: Config, heads: int = NUM_HEADS) -> tuple[str, ...]:
    """Return how a config's head computes otherwise than Mask2Former does with the same weights."""
    head = config.model.get("panoptic_head") or config.model.get("decode_head") or {}
    wanted = {key: ("attention heads", heads) for key in _ATTENTIONS}
    wanted[_GROUPS] = ("groups of the pixel decoder's norms", NUM_GROUPS)
    return tuple(
        f"{name}: {theirs} in the file, {_value(head, key)} in the config ({key})"
        for key, (name, theirs) in wanted.items()
        if _value(head, key) not in (None, theirs)
    )


def _value(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def fitting_configs(file: ForeignFile) -> tuple[str, ...]:
    """Return the names of the shipped configs whose dimensions are those of a source."""
    kind = known_kind(file)
    source = SOURCES[kind]
    weights = {source.their_key(key): value for key, value in file.weights.items()}
    if source.rules:
        weights = map_keys(weights, source.rules).weights
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    found = measured(shapes)
    method = source.method or _first(_METHODS, lambda mark: any(mark in key for key in shapes))
    swin = (found.get("width of Swin"), found.get("depths of Swin"))
    backbone = _SWINS.get(swin) or _RESNETS.get(found.get("depths of ResNet"))  # type: ignore
    datasets = _DETECTED if any(key.startswith("bbox_head.") for key in shapes) else _SEGMENTED
    names = (
        f"{method}_{backbone}_{dataset}"
        for dataset in datasets.get(found.get("classes"), ())  # type: ignore[call-overload]
    )
    return tuple(name for name in names if (CONFIGS / f"{name}.py").is_file())


def _first(pairs: tuple[tuple[str, str], ...], holds: Callable[[str], bool]) -> str | None:
    return next((value for mark, value in pairs if holds(mark)), None)


def fitting_config(file: ForeignFile) -> str:
    """Return the name of the only shipped config that fits a source.

    Raises:
        InputError: None fits, or several do; names them.
    """
    names = fitting_configs(file)
    if len(names) == 1:
        return names[0]
    found = f"{', '.join(names)} fit" if names else "none of the shipped ones has its dimensions"
    raise InputError(f"{file.path} ({SOURCES[known_kind(file)].title}): add --config NAME: {found}")
