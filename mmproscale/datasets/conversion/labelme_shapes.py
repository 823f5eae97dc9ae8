"""The mask of one of labelme's shapes, and the images that its files embed."""

import base64
import binascii
import io
import math
from typing import Any

import numpy as np
from PIL import Image

from mmproscale.datasets.conversion.painting import mask_to_rle, polygons_to_rle
from mmproscale.datasets.conversion.reading import field
from mmproscale.errors import InputError

WITHOUT_AREA = frozenset({"line", "linestrip", "point", "points"})


def shape_to_rle(shape: dict[str, Any], height: int, width: int, where: str) -> dict[str, Any]:
    """COCO's run-length code of a shape's mask.

    Args:
        shape: One of a file's ``shapes``: polygon (what a shape without a type is), rectangle,
            circle or mask.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        where: The file and the shape's place in it, for messages.

    Raises:
        InputError: Another type, or points that make no such shape.
    """
    kind = shape.get("shape_type") or "polygon"
    points = field(shape, "points", list, where)
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise InputError(f"{where}: 'points' is no list of pairs x, y")
    if kind not in ("polygon", "rectangle", "circle", "mask"):
        raise InputError(f"{where}: shapes of type {kind!r} are not known")
    if kind == "polygon":
        return polygons_to_rle([[v for point in points for v in point]], height, width, where)
    if len(points) != 2 or not all(isinstance(v, (int, float)) for point in points for v in point):
        raise InputError(f"{where}: 'points' is {points}, expected two pairs of numbers")
    if kind == "mask":
        return mask_to_rle(_mask(shape, points, height, width, where))
    outline = _corners(*points) if kind == "rectangle" else _circle(*points)
    return polygons_to_rle([outline], height, width, where)


def _corners(one: list[float], other: list[float]) -> list[float]:
    return [one[0], one[1], other[0], one[1], other[0], other[1], one[0], other[1]]


def _circle(center: list[float], edge: list[float]) -> list[float]:
    """A polygon whose sides are about a pixel long."""
    radius = math.dist(center, edge)
    angles = np.linspace(
        0, 2 * np.pi, min(max(16, int(2 * np.pi * radius)), 10_000), endpoint=False
    )
    rim = np.stack([center[0] + radius * np.cos(angles), center[1] + radius * np.sin(angles)], 1)
    return rim.ravel().tolist()


def _mask(
    shape: dict[str, Any], points: list[list[float]], height: int, width: int, where: str
) -> np.ndarray:
    """(H, W) uint8 of a mask, which the file has for the box between two corners, both inside."""
    crop = decoded_image(field(shape, "mask", str, where), f"{where}: 'mask'") > 0
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
    """What is embedded in a file in base64.

    Raises:
        InputError: It is no base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{where} is no base64") from None


def decoded_image(text: str, where: str) -> np.ndarray:
    """The pixels of an image that is embedded in base64, (H, W) or (H, W, channels).

    Raises:
        InputError: It is no image.
    """
    try:
        with Image.open(io.BytesIO(embedded_bytes(text, where))) as image:
            return np.asarray(image)
    except (OSError, SyntaxError) as error:
        raise InputError(f"{where} is no image: {error}") from None
