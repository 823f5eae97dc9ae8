"""Colours of a panoptic picture: one hue for a class, one shade of it for each instance."""

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np

Color = tuple[int, int, int]
"""Red, green, blue in 0..255."""

_GOLDEN_RATIO = 0.618034
_PLASTIC_RATIO = 0.754878


def class_colors(categories: Sequence[dict[str, Any]]) -> dict[int, Color]:
    """Colour of each category id: its ``color`` if it has one, otherwise hues far apart."""
    colors = {}
    for index, category in enumerate(categories):
        given = category.get("color")
        hue = (0.02 + index * _GOLDEN_RATIO) % 1.0
        saturation = 0.75 if category.get("isthing", 1) else 0.45
        made = tuple(round(255 * v) for v in colorsys.hsv_to_rgb(hue, saturation, 0.9))
        colors[category["id"]] = tuple(int(v) for v in given) if given is not None else made
    return colors


def instance_shade(color: Color, index: int) -> Color:
    """The ``index``-th shade of a colour; 0 is the colour itself.

    Hue and lightness step through narrow bands by ratios that never fall into step, so that
    instances of one class look alike as a class and different from each other.
    """
    if index == 0:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*(v / 255 for v in color))
    hue = (hue + 0.13 * ((index * _GOLDEN_RATIO) % 1.0 - 0.5)) % 1.0
    # Away from black and white, where shades of one hue can't be told apart.
    lightness = min(max(lightness, 0.35), 0.65) + 0.5 * ((index * _PLASTIC_RATIO) % 1.0 - 0.5)
    saturation = max(saturation, 0.5)
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def segment_colors(
    segments: Sequence[dict[str, Any]], categories: Sequence[dict[str, Any]]
) -> dict[int, Color]:
    """Colour of each segment id: shades count through the instances of a thing class."""
    by_class = class_colors(categories)
    is_thing = {category["id"]: bool(category.get("isthing", 1)) for category in categories}
    seen: dict[int, int] = {}
    colors = {}
    for segment in segments:
        category_id = segment["category_id"]
        index = seen.get(category_id, 0) if is_thing[category_id] else 0
        seen[category_id] = index + 1
        colors[segment["id"]] = instance_shade(by_class[category_id], index)
    return colors


def paint(id_map: np.ndarray, colors: dict[int, Color], void: Color = (0, 0, 0)) -> np.ndarray:
    """Paint an id map (H, W) with its segments' colours: (H, W, 3) uint8."""
    ids, inverse = np.unique(id_map, return_inverse=True)
    table = np.array([colors.get(int(i), void) for i in ids], dtype=np.uint8)
    return table[inverse.reshape(id_map.shape)]
