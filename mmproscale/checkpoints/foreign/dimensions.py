"""Dimensions of a model, measured on the shapes of its weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

Shapes = Mapping[str, tuple[int, ...]]
# Weights whose keys match a dimension's pattern, in the model's order.
Found = Sequence[tuple[re.Match[str], tuple[int, ...]]]


def _side(found: Found, axis: int = 0, less: int = 0) -> int | None:
    """Return a side of the first weight."""
    shape = found[0][1]
    return shape[axis] - less if len(shape) > axis else None


def _count(found: Found) -> int:
    """Return how many numbers the pattern's group has among all keys."""
    return len({match[1] for match, _ in found})


def _depths(found: Found) -> tuple[int, ...]:
    """Return the number of blocks in each stage."""
    blocks = Counter(int(stage) for stage, _ in {match.groups() for match, _ in found})
    return tuple(blocks[stage] for stage in sorted(blocks))


def _window(found: Found) -> int:
    """Return the side of a window from the rows of its table of positions."""
    return (round(found[0][1][0] ** 0.5) + 1) // 2


@dataclass(frozen=True)
class Dimension:
    """Dimension of a model.

    Attributes:
        name: Name in messages.
        key: Keys of a config that state it, for messages.
        pattern: Pattern of the keys of the weights that show it.
        measure_found: Function from these weights to the dimension.
    """

    name: str
    key: str
    pattern: str
    measure_found: Callable[[Found], object] = _side

    def measure(self, shapes: Shapes) -> object:
        """Return the dimension of a model, None where it has none."""
        compiled = re.compile(self.pattern)
        matches = ((compiled.fullmatch(key), shape) for key, shape in shapes.items())
        found = [(match, shape) for match, shape in matches if match]
        return self.measure_found(found) if found else None


_HEAD = r"(?:panoptic_head|decode_head)\."
_PIXELS = rf"{_HEAD}pixel_decoder\."
_ENCODER = rf"(?:{_PIXELS})?encoder\.layers\."
_DECODER = rf"(?:{_HEAD}transformer_decoder|decoder)\.layers\."
_FFN = r"0\.ffn\.layers\.0\.0\.weight"
_CLASSES = rf"(?:{_HEAD}cls_embed|bbox_head\.fc_cls)\.bias"
_TABLE = r"backbone\..*relative_position_bias_table"
_NUM_CLASSES = "num_classes, or num_things_classes and num_stuff_classes"
_FFN_WIDTH = "feedforward_channels"
DIMENSIONS = (
    Dimension("queries", "num_queries", rf"(?:{_HEAD}query_feat|query_embedding)\.weight"),
    Dimension("classes", _NUM_CLASSES, _CLASSES, partial(_side, less=1)),
    Dimension("classes", "num_classes", r"bbox_head\.cls_branches\.0\.bias"),
    Dimension(
        "width of the queries",
        "feat_channels",
        rf"{_HEAD}query_feat\.weight",
        partial(_side, axis=1),
    ),
    Dimension(
        "width of the pixel decoder", "pixel_decoder", rf"{_PIXELS}input_convs\.0\.conv\.weight"
    ),
    Dimension(
        "channels of the mask features",
        "out_channels",
        rf"{_PIXELS}mask_feature\.(?:conv\.)?weight",
    ),
    Dimension("encoder layers", "encoder", rf"{_ENCODER}(\d+)\..+", _count),
    Dimension("decoder layers", "transformer_decoder.num_layers", rf"{_DECODER}(\d+)\..+", _count),
    Dimension("feed-forward width of the encoder", _FFN_WIDTH, _ENCODER + _FFN),
    Dimension("feed-forward width of the decoder", _FFN_WIDTH, _DECODER + _FFN),
    Dimension("width of Swin", "embed_dims", r"backbone\.patch_embed\.norm\.weight"),
    Dimension("depths of Swin", "depths", r"backbone\.stages\.(\d+)\.blocks\.(\d+)\..+", _depths),
    Dimension("window of Swin", "window_size", _TABLE, _window),
    Dimension("depths of ResNet", "depth", r"backbone\.layer(\d+)\.(\d+)\..+", _depths),
    Dimension("width of ResNet", "base_channels", r"backbone\.bn1\.weight"),
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
