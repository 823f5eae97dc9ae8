"""Picture of detections: boxes, classes and scores over the photograph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmproscale.datasets.formats.colors import Color, class_colors
from mmproscale.inference.pictures.panoptic_picture import enlarge, load_font

_INK = (20, 20, 20)


def box_picture(
    image: np.ndarray,
    detections: Sequence[dict[str, Any]],
    categories: Sequence[dict[str, Any]],
    short_side: int = 480,
    least_score: float = 0.3,
) -> np.ndarray:
    """Draw detections over a photograph, those of the highest score on top.

    Args:
        image: (H, W, 3) RGB uint8.
        detections: Each with ``category_id``, ``score`` and ``bbox`` (x, y, width, height).
        categories: Each with ``id``, ``name``, and ``color`` if it has one.
        short_side: Smaller images are enlarged to this many pixels on their short side.
        least_score: Detections with a lower score are not drawn.

    Returns:
        (H', W', 3) RGB uint8.
    """
    photo = enlarge(image, short_side)
    factors = np.array([photo.shape[1] / image.shape[1], photo.shape[0] / image.shape[0]])
    canvas = Image.fromarray(photo)
    draw = ImageDraw.Draw(canvas)
    font = load_font(max(12, round(0.027 * min(photo.shape[:2]))))
    colors = class_colors(categories)
    names = {category["id"]: category["name"] for category in categories}
    for detection in sorted(detections, key=lambda detection: detection["score"]):
        if detection["score"] >= least_score:
            category_id = detection["category_id"]
            x, y, width, height = detection["bbox"]
            corners = np.array([(x, y), (x + width, y + height)]) * factors
            text = f"{names[category_id]} {detection['score']:.2f}"
            _draw_box(draw, corners, text, colors[category_id], font)
    return np.asarray(canvas)


def _draw_box(
    draw: ImageDraw.ImageDraw,
    corners: np.ndarray,
    text: str,
    color: Color,
    font: ImageFont.FreeTypeFont,
) -> None:
    """Draw a box, given as (left, top) and (right, bottom), and its text."""
    (left, top), (right, bottom) = corners
    thickness = max(2, round(font.size) // 6)
    draw.rectangle((left, top, max(left, right), max(top, bottom)), None, color, thickness)
    line = 1.3 * font.size
    if top > line:  # room for the text above the box; otherwise it stands inside
        top -= line
    draw.rectangle((left, top, left + font.getlength(text) + 6, top + line), _INK)
    draw.text((left + 3, top), text, fill=color, font=font)
