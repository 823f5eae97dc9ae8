"""A picture in which a person can read detections: boxes, classes, scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mmproscale.datasets.formats.colors import class_colors
from mmproscale.inference.pictures.panoptic_picture import enlarge, load_font

INK = (20, 20, 20)


def box_picture(
    image: np.ndarray,
    detections: Sequence[dict[str, Any]],
    categories: Sequence[dict[str, Any]],
    short_side: int = 480,
    least_score: float = 0.3,
) -> np.ndarray:
    """Draw detections over a photograph, the surest on top.

    Args:
        image: (H, W, 3) RGB uint8.
        detections: Each with ``category_id``, ``score`` and ``bbox`` (x, y, width, height).
        categories: Each with ``id``, ``name``, and ``color`` if it has one.
        short_side: Smaller images are enlarged to this many pixels on their short side.
        least_score: Detections with less are not drawn.

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
    for found in sorted(detections, key=lambda detection: detection["score"]):
        if found["score"] < least_score:
            continue
        x, y, width, height = found["bbox"]
        left, top = np.array([x, y]) * factors
        right, bottom = np.array([x + width, y + height]) * factors
        color = colors[found["category_id"]]
        thickness = max(2, font.size // 6)
        draw.rectangle((left, top, max(left, right), max(top, bottom)), None, color, thickness)
        text = f"{names[found['category_id']]} {found['score']:.2f}"
        # Above the box, or inside where that is out of the picture.
        place = left, top - 1.3 * font.size if top > 1.3 * font.size else top
        draw.rectangle(
            (*place, place[0] + font.getlength(text) + 6, place[1] + 1.3 * font.size), INK
        )
        draw.text((place[0] + 3, place[1]), text, fill=color, font=font)
    return np.asarray(canvas)
