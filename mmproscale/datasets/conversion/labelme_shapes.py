"""Shapes of labelme and its relatives: the pixels of polygons, rectangles, circles and masks."""

import base64
import binascii
import io
import math
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.painting import is_coordinate, polygons_to_rle
from mmproscale.datasets.conversion.source_files import field
from mmproscale.errors import InputError
from mmproscale.utils.faults import excerpt

POLYGONS = frozenset({"polygon", "rotation", "oriented_rectangle", "quadrilateral"})
FEWEST_POINTS = {"rectangle": 2, "circle": 2, "mask": 2} | dict.fromkeys(POLYGONS, 3)
WITHOUT_AREA = frozenset({"line", "linestrip", "point", "points"})


def kind_of(shape: dict[str, Any]) -> str:
    """Return a shape's type."""
    return shape.get("shape_type") or "polygon"


def shape_rle(shape: dict[str, Any], where: str, height: int, width: int) -> dict[str, Any] | str:
    """Return COCO's run-length code of a shape's mask, or the reason why it has no pixel.

    Args:
        shape: The file's entry; without a type it is a polygon.
        where: The file and the shape's place in it, for messages.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        InputError: The type is unknown, or a value is not one that labelme writes.
    """
    kind = kind_of(shape)
    if kind in WITHOUT_AREA:
        return "points and lines"
    points = field(shape, "points", list, where)
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise InputError(f"{where}: 'points' is not a list of pairs x, y")
    values = [value for point in points for value in point]
    if not all(map(is_coordinate, values)):
        raise InputError(f"{where}: 'points' is {excerpt(points)}, not numbers of pixels")
    if kind not in FEWEST_POINTS:
        raise InputError(f"{where}: unknown type {kind!r}; known: {', '.join(FEWEST_POINTS)}")
    if len(points) < FEWEST_POINTS[kind]:
        return "of too few points"
    if kind in ("circle", "mask") and len(points) != 2:
        raise InputError(f"{where}: 'points' is {excerpt(points)}, expected two pairs of numbers")
    if kind == "mask":
        mask = rle_tools.encode(np.asfortranarray(_mask(shape, points, height, width, where)))
        return mask if rle_tools.area(mask) else "of no area"
    if kind == "rectangle" and len(points) == 2:
        values = _corners(*points)
    elif kind == "circle":
        values = _circle(*points)
    mask = polygons_to_rle([values], height, width, where)
    if rle_tools.area(mask):
        return mask
    xs, ys = values[::2], values[1::2]
    is_inside = max(xs) > 0 and max(ys) > 0 and min(xs) < width and min(ys) < height
    return "of no area" if is_inside else "outside the image"


def _corners(one: list[float], other: list[float]) -> list[float]:
    return [one[0], one[1], other[0], one[1], other[0], other[1], one[0], other[1]]


def _circle(center: list[float], edge: list[float]) -> list[float]:
    """Return a polygon around a circle; its sides are about a pixel long."""
    radius = math.dist(center, edge)
    count = min(max(16, int(2 * np.pi * radius)), 10_000)
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.stack([center[0] + radius * np.cos(angles), center[1] + radius * np.sin(angles)], 1)
    return rim.ravel().tolist()


def _mask(
    shape: dict[str, Any], points: list[list[float]], height: int, width: int, where: str
) -> np.ndarray:
    """Return a mask, (H, W) uint8; the file stores it for a box, whose corners are included."""
    place = f"{where}: 'mask'"
    crop = _pixels(embedded_bytes(field(shape, "mask", str, where), place), place) > 0
    (left, top), (right, bottom) = ([int(v) for v in point] for point in points)
    inside = min(left, top) >= 0 and right < width and bottom < height
    if not inside or crop.shape != (bottom - top + 1, right - left + 1):
        raise InputError(
            f"{where}: its mask of {'x'.join(map(str, crop.shape[::-1]))} pixels does not fit the "
            f"box {points} of an image of {width}x{height}"
        )
    mask = np.zeros((height, width), np.uint8)
    mask[top : bottom + 1, left : right + 1] = crop
    return mask


def embedded_bytes(text: str, where: str) -> bytes:
    """Return the bytes of an image that a file has as base64.

    Raises:
        InputError: The text is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{where} is not base64") from None


def _pixels(data: bytes, where: str) -> np.ndarray:
    """Decode an embedded image: (H, W) or (H, W, channels)."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (OSError, SyntaxError):
        raise InputError(f"{where} is not a readable image") from None
