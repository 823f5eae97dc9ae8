"""Dimensions of a model, measured on the shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Dimension:
    """Dimension of a model.

    Attributes:
        name: Name in messages.
        key: Keys of a config that state it, for messages.
        measure: Function from shapes to the dimension; None where the model has none.
    """

    name: str
    key: str
    measure: Callable[[Shapes], object]


def _side(pattern: str, axis: int, less: int = 0) -> Callable[[Shapes], int | None]:
    """Return the measure of one axis of the first weight whose key matches."""
    compiled = re.compile(pattern)

    def measure(shapes: Shapes) -> int | None:
        sizes = (shape for key, shape in shapes.items() if compiled.fullmatch(key))
        shape = next(sizes, None)
        return None if shape is None or len(shape) <= axis else shape[axis] - less

    return measure


def _count(pattern: str) -> Callable[[Shapes], int | None]:
    """Return the measure that counts the values of the pattern's group among all keys."""
    compiled = re.compile(pattern)

    def measure(shapes: Shapes) -> int | None:
        matches = (compiled.match(key) for key in shapes)
        return len({match[1] for match in matches if match}) or None

    return measure


def _depths(pattern: str) -> Callable[[Shapes], tuple[int, ...] | None]:
    """Return the measure of the number of blocks in each stage."""
    compiled = re.compile(pattern)

    def measure(shapes: Shapes) -> tuple[int, ...] | None:
        found = {m.groups() for m in map(compiled.match, shapes) if m}
        stages = sorted({int(stage) for stage, _ in found})
        return tuple(sum(int(s) == stage for s, _ in found) for stage in stages) or None

    return measure


def _window(shapes: Shapes) -> int | None:
    rows = _side(r"backbone\..*relative_position_bias_table", 0)(shapes)
    return None if rows is None else (round(rows**0.5) + 1) // 2


_HEAD = r"(?:panoptic_head|decode_head)\."
_PIXELS = rf"{_HEAD}pixel_decoder\."
_ENCODER = rf"(?:{_PIXELS})?encoder\.layers\."
_DECODER = rf"(?:{_HEAD}transformer_decoder|decoder)\.layers\."
DIMENSIONS = (
    Dimension(
        "queries", "num_queries", _side(rf"(?:{_HEAD}query_feat|query_embedding)\.weight", 0)
    ),
    Dimension(
        "classes",
        "num_classes, or num_things_classes and num_stuff_classes",
        _side(rf"(?:{_HEAD}cls_embed|bbox_head\.fc_cls)\.bias", 0, less=1),
    ),
    Dimension("classes", "num_classes", _side(r"bbox_head\.cls_branches\.0\.bias", 0)),
    Dimension("width of the queries", "feat_channels", _side(rf"{_HEAD}query_feat\.weight", 1)),
    Dimension(
        "width of the pixel decoder",
        "pixel_decoder",
        _side(rf"{_PIXELS}input_convs\.0\.conv\.weight", 0),
    ),
    Dimension(
        "channels of the mask features",
        "out_channels",
        _side(rf"{_PIXELS}mask_feature\.(?:conv\.)?weight", 0),
    ),
    Dimension("encoder layers", "encoder", _count(rf"{_ENCODER}(\d+)\.")),
    Dimension("decoder layers", "transformer_decoder.num_layers", _count(rf"{_DECODER}(\d+)\.")),
    Dimension(
        "feed-forward width of the encoder",
        "feedforward_channels",
        _side(rf"{_ENCODER}0\.ffn\.layers\.0\.0\.weight", 0),
    ),
    Dimension(
        "feed-forward width of the decoder",
        "feedforward_channels",
        _side(rf"{_DECODER}0\.ffn\.layers\.0\.0\.weight", 0),
    ),
    Dimension("width of Swin", "embed_dims", _side(r"backbone\.patch_embed\.norm\.weight", 0)),
    Dimension("depths of Swin", "depths", _depths(r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.")),
    Dimension("window of Swin", "window_size", _window),
    Dimension("depths of ResNet", "depth", _depths(r"backbone\.layer(\d+)\.(\d+)\.")),
    Dimension("width of ResNet", "base_channels", _side(r"backbone\.bn1\.weight", 0)),
)


def measured(shapes: Shapes) -> dict[str, object]:
    """Return the dimensions of a model by name, those that it has."""
    values = ((dimension.name, dimension.measure(shapes)) for dimension in DIMENSIONS)
    return {name: value for name, value in values if value is not None}


def dimension_differences(found: Shapes, wanted: Shapes) -> tuple[str, ...]:
    """Return one line for each dimension that the source and the config state differently.

    Args:
        found: Shapes of the converted weights by our keys.
        wanted: Shapes of the config's model.
    """
    lines = []
    for dimension in DIMENSIONS:
        theirs, ours = dimension.measure(found), dimension.measure(wanted)
        if theirs is not None and ours is not None and theirs != ours:
            lines.append(
                f"{dimension.name}: {theirs} in the file, {ours} in the config ({dimension.key})"
            )
    return tuple(lines)
