"""Conversion of published backbones to mmdet's names, by tables of keys.

MoBY (Transformer-SSL, arXiv 2105.04553) and the official Swin (arXiv 2103.14030) give weights for
mmdet's SwinTransformer; DINO (arXiv 2104.14294) and torchvision give weights for its ResNet.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mmproscale.errors import InputError


def merge_channel_major(value: Tensor) -> Tensor:
    """Reorder the last axis of a Swin downsample, four merged pixels: (..., 4C) -> (..., 4C).

    The official order is quadrant-major, with quadrants (row, column) (0,0), (1,0), (0,1), (1,1).
    mmdet's unfold is channel-major, with quadrants (0,0), (0,1), (1,0), (1,1).
    """
    quadrants = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return quadrants.transpose(-1, -2).flatten(-2)


@dataclass(frozen=True)
class KeyRule:
    """Names of one module in the file and in mmdet.

    Both names share the numbers `{s}` (stage), `{b}` (block) and `{n}` (layer of a block).
    """

    theirs: str
    ours: str
    parameters: tuple[str, ...] = ("weight", "bias")
    reorder: Callable[[Tensor], Tensor] | None = None

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the numbers in the rule."""
        return tuple(re.findall(r"{(\w)}", self.theirs))


_BLOCK, _OUR_BLOCK = "layers.{s}.blocks.{b}", "stages.{s}.blocks.{b}"
_DOWN, _OUR_DOWN = "layers.{s}.downsample", "stages.{s}.downsample"
SWIN_RULES = (
    KeyRule("patch_embed.proj", "patch_embed.projection"),
    KeyRule("patch_embed.norm", "patch_embed.norm"),
    KeyRule(f"{_BLOCK}.norm1", f"{_OUR_BLOCK}.norm1"),
    KeyRule(f"{_BLOCK}.attn.qkv", f"{_OUR_BLOCK}.attn.w_msa.qkv"),
    KeyRule(f"{_BLOCK}.attn.proj", f"{_OUR_BLOCK}.attn.w_msa.proj"),
    KeyRule(f"{_BLOCK}.attn", f"{_OUR_BLOCK}.attn.w_msa", ("relative_position_bias_table",)),
    KeyRule(f"{_BLOCK}.norm2", f"{_OUR_BLOCK}.norm2"),
    KeyRule(f"{_BLOCK}.mlp.fc1", f"{_OUR_BLOCK}.ffn.layers.0.0"),
    KeyRule(f"{_BLOCK}.mlp.fc2", f"{_OUR_BLOCK}.ffn.layers.1"),
    KeyRule(f"{_DOWN}.norm", f"{_OUR_DOWN}.norm", reorder=merge_channel_major),
    KeyRule(f"{_DOWN}.reduction", f"{_OUR_DOWN}.reduction", ("weight",), merge_channel_major),
)

_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
# mmdet's ResNet has torchvision's names.
RESNET_RULES = tuple(
    KeyRule(name, name, parameters)
    for name, parameters in [
        ("conv1", ("weight",)),
        ("bn1", _BATCH_NORM),
        ("layer{s}.{b}.conv{n}", ("weight",)),
        ("layer{s}.{b}.bn{n}", _BATCH_NORM),
        ("layer{s}.{b}.downsample.0", ("weight",)),
        ("layer{s}.{b}.downsample.1", _BATCH_NORM),
    ]
)

# Keys that a file may hold beyond the backbone's weights: buffers, which the model computes itself,
# and the classifier's norm and head.
_SWIN_REST = (r"norm\.\w+", r"head\..+", r".+\.relative_position_index", r".+\.attn_mask")
_RESNET_REST = (r".+\.num_batches_tracked",)
_MOBY_REST = (r"encoder_k\..+", r"projector(_k)?\..+", r"predictor\..+", r"queue\d", r"queue_ptr")


@dataclass(frozen=True)
class Source:
    """Family of published checkpoints.

    Attributes:
        title: Name in messages.
        example: A key that every such file has.
        containers: Keys that may hold the weights. The first one in the file counts; without any,
            the file itself holds the weights.
        prefixes: Possible prefixes of the backbone's keys; the first one in the file counts.
        rest: Patterns of the keys that are left out.
        rules: Names of the backbone's modules.
        our_prefix: Prefix of the converted keys: mmdet's SwinTransformer loads only keys under
            'backbone.', its ResNet loads all keys.
        options: Further options of a config that uses the file: mmdet must not convert it again.
    """

    title: str
    example: str
    containers: tuple[str, ...]
    prefixes: tuple[str, ...]
    rest: tuple[str, ...]
    rules: tuple[KeyRule, ...]
    our_prefix: str
    options: tuple[str, ...] = ()


_SWIN = Source(
    title="official checkpoint of a Swin",
    example="layers.0.blocks.0.attn.qkv.weight",
    containers=("model", "state_dict"),
    prefixes=("",),
    rest=_SWIN_REST,
    rules=SWIN_RULES,
    our_prefix="backbone.",
    options=("model.backbone.convert_weights=False",),
)
_RESNET = Source(
    title="torchvision checkpoint of a ResNet",
    example="layer1.0.conv1.weight",
    containers=("state_dict",),
    prefixes=("",),
    rest=(*_RESNET_REST, r"fc\..+"),
    rules=RESNET_RULES,
    our_prefix="",
)
SOURCES: Mapping[str, Source] = {
    "moby": replace(
        _SWIN,
        title="MoBY checkpoint of a Swin",
        example=f"encoder.{_SWIN.example}",
        prefixes=("encoder.",),
        rest=_SWIN_REST + _MOBY_REST,
    ),
    "swin": _SWIN,
    "dino": replace(
        _RESNET,
        title="DINO checkpoint of a ResNet",
        containers=("teacher", "state_dict"),
        prefixes=("backbone.", ""),
        rest=(*_RESNET_REST, r"head\..+"),
    ),
    "torchvision": _RESNET,
}


@dataclass(frozen=True)
class ConvertedWeights:
    """Weights under mmdet's names, keys that no rule knows, and keys that the rules miss."""

    weights: dict[str, Tensor]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]


def convert_backbone(content: Any, source: Source, file: str | Path) -> dict[str, Tensor]:
    """Return the backbone's weights under the keys that a backbone of mmdet loads.

    Args:
        content: The file's content, as `read_checkpoint.load_content` returns it.
        source: One of `SOURCES`.
        file: The file's name, for the message.

    Raises:
        InputError: It is not a checkpoint of this source, or weights are missing.
    """
    weights = _backbone_of(content, source)
    converted = convert_keys(weights, source.rules)
    if not converted.weights or converted.unknown or converted.missing:
        outline = _outline(_container(content, source))
        found = _differences(converted) if converted.weights else f"it holds {outline}"
        raise InputError(
            f"{file} is not a {source.title}, with keys such as {source.example}: {found}; "
            "name the source of the file, or give the published file"
        )
    return {source.our_prefix + key: value for key, value in converted.weights.items()}


def _backbone_of(content: Any, source: Source) -> dict[str, Tensor]:
    """Return a file's backbone under the source's names, without prefixes and the rest."""
    container = _container(content, source)
    items = container.items() if isinstance(container, dict) else ()
    tensors = {k: v for k, v in items if isinstance(k, str) and isinstance(v, Tensor)}
    weights = {key.removeprefix("module."): value for key, value in tensors.items()}
    prefixes = [p for p in source.prefixes if any(key.startswith(p) for key in weights)]
    if not prefixes:
        return {}
    bare = {key.removeprefix(prefixes[0]): value for key, value in weights.items()}
    rest = re.compile("|".join(source.rest))
    return {key: value for key, value in bare.items() if not rest.fullmatch(key)}


def convert_keys(weights: Mapping[str, Tensor], rules: Iterable[KeyRule]) -> ConvertedWeights:
    """Rename weights by a table of rules, and reorder them where a rule asks for it."""
    patterns = [(rule, _pattern(rule)) for rule in rules]
    matches = {key: _first_match(key, patterns) for key in weights}
    converted: dict[str, Tensor] = {}
    # Numbers of the file's stages and blocks: each must have the keys of all rules for them.
    present: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for key, match in matches.items():
        if match is not None:
            rule, numbers, parameter = match
            value = rule.reorder(weights[key]) if rule.reorder else weights[key]
            converted[f"{rule.ours.format(**numbers)}.{parameter}"] = value
            present[rule.numbers].append(numbers)
    expected = [key for rule, _ in patterns for key in _keys(rule, present[rule.numbers])]
    return ConvertedWeights(
        weights=converted,
        unknown=tuple(key for key, match in matches.items() if match is None),
        missing=tuple(dict.fromkeys(key for key in expected if key not in weights)),
    )


def _pattern(rule: KeyRule) -> re.Pattern[str]:
    module = re.sub(r"\\{(\w)\\}", r"(?P<\1>\\d+)", re.escape(rule.theirs))
    return re.compile(rf"{module}\.(?:{'|'.join(rule.parameters)})")


def _first_match(
    key: str, patterns: list[tuple[KeyRule, re.Pattern[str]]]
) -> tuple[KeyRule, dict[str, str], str] | None:
    for rule, pattern in patterns:
        match = pattern.fullmatch(key)
        if match:
            return rule, match.groupdict(), key.rpartition(".")[2]
    return None


def _keys(rule: KeyRule, present: list[dict[str, str]]) -> list[str]:
    anywhere = [dict.fromkeys(rule.numbers, "*")]
    return [
        f"{rule.theirs.format(**numbers)}.{parameter}"
        for numbers in present or anywhere
        for parameter in rule.parameters
    ]


def _container(content: Any, source: Source) -> Any:
    if not isinstance(content, dict):
        return content
    return next((content[name] for name in source.containers if name in content), content)


def _differences(converted: ConvertedWeights) -> str:
    parts = [
        f"{len(keys)} {kind} (first: {keys[0]})"
        for kind, keys in [("unknown keys", converted.unknown), ("missing", converted.missing)]
        if keys
    ]
    return ", ".join(parts)


def _outline(weights: Any) -> str:
    if not isinstance(weights, dict):
        return f"a {type(weights).__name__}"
    first = ", ".join(str(key) for key in list(weights)[:3])
    return f"{len(weights)} keys ({first}{', ...' if len(weights) > 3 else ''})"
