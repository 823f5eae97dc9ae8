"""Picture of panoptic results: classes, instances and boundaries over the photograph."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmproscale.datasets.formats.colors import Color, class_colors, paint, segment_colors
from mmproscale.inference.pictures.label_layout import label_texts, place_labels

Panel = tuple[str, np.ndarray, Sequence[dict[str, Any]]]
"""Title, id map (H, W) with 0 for void, and segments with ``id`` and ``category_id``."""

_OPACITY = 0.55
_BACKGROUND = (255, 255, 255)
_INK = (20, 20, 20)


def draw_panoptic(
    image: np.ndarray,
    id_map: np.ndarray,
    segments: Sequence[dict[str, Any]],
    categories: Sequence[dict[str, Any]],
    short_side: int = 480,
    scores: bool = False,
    void: float = 1 / 3,
) -> np.ndarray:
    """Draw segments, predicted or true, over a photograph: shades, contours and labels.

    Args:
        image: (H, W, 3) RGB uint8.
        id_map: (H, W) segment ids, 0 for void, which shows the photograph in grey.
        segments: Each with ``id`` and ``category_id``; the label also says ``iscrowd``.
        categories: Each with ``id``, ``name``, ``isthing``, and ``color`` if it has one.
        short_side: Smaller images are enlarged to this many pixels on their short side.
        scores: Write the scores of segments that have one into their labels.
        void: Brightness of void, in 0..1.

    Returns:
        (H', W', 3) RGB uint8.

    Raises:
        ValueError: Image and id map differ in size.
    """
    if image.shape[:2] != id_map.shape:
        raise ValueError(f"image is {image.shape[:2]} but the id map is {id_map.shape}")
    photo = enlarge(image, short_side)
    size = photo.shape[1], photo.shape[0]
    ids = cv2.resize(id_map.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
    picture = _blend(photo, ids, segments, categories, void)
    return _write_labels(picture, ids, segments, categories, scores)


def panoptic_picture(
    image: np.ndarray,
    panels: Sequence[Panel],
    categories: Sequence[dict[str, Any]],
    short_side: int = 480,
    scores: bool = False,
    void: float = 1 / 3,
) -> np.ndarray:
    """Draw the photograph and panoptic results side by side, with a legend.

    Args:
        image: (H, W, 3) RGB uint8.
        panels: For example ``[("prediction", id_map, segments), ("ground truth", ...)]``.
        categories: As for :func:`draw_panoptic`.
        short_side: As for :func:`draw_panoptic`.
        scores: As for :func:`draw_panoptic`.
        void: As for :func:`draw_panoptic`.

    Returns:
        (H', W', 3) RGB uint8.
    """
    pictures = [("image", enlarge(image, short_side))]
    for title, id_map, segments in panels:
        options = (categories, short_side, scores, void)
        pictures.append((title, draw_panoptic(image, id_map, segments, *options)))
    font = _title_font(pictures)
    row = titled_row(pictures)
    present = {s["category_id"] for _, _, segments in panels for s in segments}
    in_legend = [category for category in categories if category["id"] in present]
    return np.vstack([row, _legend(in_legend, class_colors(categories), row.shape[1], font)])


def titled_row(pictures: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Join pictures of equal height (H, W, 3) side by side, each below its title."""
    font = _title_font(pictures)
    return _join([_with_title(picture, title, font) for title, picture in pictures])


def _title_font(pictures: Sequence[tuple[str, np.ndarray]]) -> ImageFont.FreeTypeFont:
    return load_font(max(14, round(0.035 * min(pictures[0][1].shape[:2]))))


def enlarge(image: np.ndarray, short_side: int, long_side: int = 4096) -> np.ndarray:
    """Resize an image (H, W, 3) for a picture, to sizes between two limits.

    Args:
        image: The image.
        short_side: An image with a shorter short side is enlarged to this many pixels.
        long_side: An image whose long side is longer after that is shrunk to this many pixels.
    """
    factor = max(1.0, short_side / min(image.shape[:2]))
    factor = min(factor, long_side / max(image.shape[:2]))
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA)


def _blend(
    photo: np.ndarray,
    ids: np.ndarray,
    segments: Sequence[dict[str, Any]],
    categories: Sequence[dict[str, Any]],
    void: float,
) -> np.ndarray:
    """Colour the segments, darken void, and draw boundaries: a white line around things only."""
    # Grey under the colour: the hues of the photograph would change the shades.
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    base = cv2.addWeighted(photo, 0.4, grey, 0.6, 0)
    colors = paint(ids, segment_colors(segments, categories))
    picture = cv2.addWeighted(colors, _OPACITY, base, 1 - _OPACITY, 0)
    known = np.isin(ids, [segment["id"] for segment in segments])
    picture[~known] = grey[~known] * void
    width = max(1, round(min(ids.shape) / 400))
    picture[_thicken(_boundaries(ids), width)] = (30, 30, 30)
    kinds = {category["id"]: category.get("isthing", 1) for category in categories}
    things = [segment["id"] for segment in segments if kinds[segment["category_id"]]]
    contours = _boundaries(np.where(np.isin(ids, things), ids, 0))
    picture[_thicken(contours, width + 2)] = (30, 30, 30)
    picture[_thicken(contours, width)] = (255, 255, 255)
    return picture


def _boundaries(ids: np.ndarray) -> np.ndarray:
    """Return True (H, W) where the right or lower neighbour belongs to another segment."""
    edge = np.zeros(ids.shape, bool)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    return edge


def _thicken(edge: np.ndarray, width: int) -> np.ndarray:
    kernel = np.ones((width, width), np.uint8)
    return cv2.dilate(edge.astype(np.uint8), kernel).astype(bool)


def _write_labels(
    picture: np.ndarray,
    ids: np.ndarray,
    segments: Sequence[dict[str, Any]],
    categories: Sequence[dict[str, Any]],
    scores: bool,
) -> np.ndarray:
    """Write each segment's label in white on a dark box, tinted along its left side."""
    font = load_font(max(12, round(0.027 * min(ids.shape))))
    margin = max(2, round(font.size / 5))

    def measure(text: str) -> tuple[int, int]:
        return round(font.getlength(text)) + 3 * margin, round(1.2 * font.size) + margin

    colors = segment_colors(segments, categories)
    labels = place_labels(ids, segments, label_texts(segments, categories, scores), measure)
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for label in labels:
        left, top, right, bottom = label.box
        draw.rectangle((left, top, right - 1, bottom - 1), fill=_INK)
        draw.rectangle((left, top, left + margin - 1, bottom - 1), fill=colors[label.segment_id])
        middle = (left + 2 * margin, (top + bottom) / 2)
        draw.text(middle, label.text, fill="white", font=font, anchor="lm")
    return np.asarray(canvas)


def _with_title(picture: np.ndarray, title: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Put a title line above a picture."""
    line = Image.new("RGB", (picture.shape[1], round(1.6 * font.size)), _BACKGROUND)
    position = (font.size // 3, line.height / 2)
    ImageDraw.Draw(line).text(position, title, fill=_INK, font=font, anchor="lm")
    return np.vstack([np.asarray(line), picture])


def _join(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Join pictures of equal height side by side, with gaps."""
    height = pictures[0].shape[0]
    gap = np.full((height, max(4, height // 100), 3), _BACKGROUND, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.hstack(parts[:-1])


def _legend(
    categories: Sequence[dict[str, Any]],
    colors: dict[int, Color],
    width: int,
    font: ImageFont.FreeTypeFont,
) -> np.ndarray:
    """Draw a strip of colour swatches and class names, in as many lines as they need."""
    line_height = round(1.6 * font.size)
    positions, x, y = [], font.size // 3, 0
    for category in categories:
        needed = round(font.getlength(category["name"])) + 3 * font.size
        if x + needed > width and x > font.size:
            x, y = font.size // 3, y + line_height
        positions.append((category, x, y))
        x += needed
    strip = Image.new("RGB", (width, y + line_height), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    for category, left, top in positions:
        middle = top + line_height / 2
        swatch = (left, middle - font.size / 2, left + 1.4 * font.size, middle + font.size / 2)
        draw.rectangle(swatch, fill=colors[category["id"]], outline=_INK)
        text = (left + 1.8 * font.size, middle)
        draw.text(text, category["name"], fill=_INK, font=font, anchor="lm")
    return np.asarray(strip)


@lru_cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib and has the letters of most languages."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)
