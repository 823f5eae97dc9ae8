"""Colours of classes and segments: one hue for a class, one shade of it for each instance."""

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmproscale.utils.faults import is_finite
from mmproscale.utils.integer_maps import distinct

Color = tuple[int, ...]
"""Red, green, blue in 0..255."""

_GOLDEN_RATIO = 0.618034
_PLASTIC_RATIO = 0.754878


def class_colors(categories: Sequence[dict[str, Any]]) -> dict[int, Color]:
    """Return the colour of each category id: its ``color``, or a hue far from the others.

    A colour that is made differs from all others. A ``color`` that is not three numbers is ignored.
    """
    given = {c["id"]: tuple(map(int, c["color"])) for c in categories if _is_rgb(c.get("color"))}
    taken, colors = set(given.values()), {}
    for index, category in enumerate(categories):
        color = given.get(category["id"])
        if color is None:
            is_thing, count = category.get("isthing", 1), len(categories)
            attempts = (_class_color(index + i * count, is_thing, darker=i) for i in range(12))
            color = next((c for c in attempts if c not in taken), _class_color(index, is_thing))
            taken.add(color)
        colors[category["id"]] = color
    return colors


def _is_rgb(color: Any) -> bool:
    return isinstance(color, (list, tuple)) and len(color) == 3 and all(map(is_finite, color))


def _class_color(index: int, is_thing: int, darker: int = 0) -> Color:
    hue, saturation = (0.02 + index * _GOLDEN_RATIO) % 1.0, 0.75 if is_thing else 0.45
    color = colorsys.hsv_to_rgb(hue, saturation, 0.9 - 0.05 * darker)
    return tuple(round(255 * part) for part in color)


def instance_shade(color: Color, index: int) -> Color:
    """Return the ``index``-th shade of a colour; 0 is the colour itself.

    Hue and lightness step through narrow bands by irrational ratios, so that shades do not repeat:
    instances of one class look alike as a class and different from each other.
    """
    if index == 0:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*(v / 255 for v in color))
    hue = (hue + 0.13 * ((index * _GOLDEN_RATIO) % 1.0 - 0.5)) % 1.0
    # Away from black and white, where shades of one hue can't be told apart.
    lightness = min(max(lightness, 0.35), 0.65) + 0.5 * ((index * _PLASTIC_RATIO) % 1.0 - 0.5)
    shade = colorsys.hls_to_rgb(hue, lightness, max(saturation, 0.5))
    return tuple(round(255 * part) for part in shade)


def segment_colors(
    segments: Sequence[dict[str, Any]], categories: Sequence[dict[str, Any]]
) -> dict[int, Color]:
    """Return the colour of each segment id: each instance of a thing class has its own shade."""
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
    ids, places = distinct(id_map)
    table = np.array([colors.get(int(i), void) for i in ids], dtype=np.uint8)
    return table[places]
