"""Image files: their pixels, size and Exif orientation, and the faults of reading them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.fileio import get
from PIL import ExifTags, Image

from mmproscale.utils.faults import Fault

UPRIGHT = 1
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height


def exif_orientation(image: Image.Image) -> int:
    """Return the Exif orientation, 1 to 8, of an image that Pillow opened; by default 1."""
    # Pillow would read all pixels of a PNG to look for Exif, which cameras do not write there.
    value = None if image.format == "PNG" else image.getexif().get(ExifTags.Base.Orientation)
    return value if value is not None and value in range(1, 9) else UPRIGHT


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (H, W) of an image that Pillow opened, turned as its Exif says."""
    width, height = image.size
    return (width, height) if exif_orientation(image) in SIDEWAYS else (height, width)


def decode_image(data: bytes) -> np.ndarray | None:
    """Decode an image to (H, W, 3) uint8 BGR, turned as its Exif says; None if it can't be."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def image_faults(path: str, size: Sequence[int]) -> Iterator[Fault]:
    """Yield the fault of an image that can't be read or is not of its annotation's size.

    Args:
        path: the image.
        size: the height and width that its annotation states.
    """
    try:
        image = decode_image(get(path))
    except OSError as error:
        yield unreadable("image", path, error)
        return
    if image is None:
        yield unreadable("image", path)
    else:
        yield from size_faults("image", path, image.shape, size, "its annotation")


def unreadable(what: str, path: str, error: Exception | None = None) -> Fault:
    """Return the fault of a file that can't be read or decoded, of kind `image-unreadable`.

    Kinds are `{what}-missing`, `{what}-empty` and `{what}-unreadable`.

    Args:
        what: 'image', 'png' or 'map'; begins the name of the fault's kind.
        path: the file.
        error: error raised when the file was read, or None.
    """
    kind = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    reason = getattr(error, "strerror", None)
    if reason is None:
        file = Path(path)
        is_empty = file.is_file() and file.stat().st_size == 0
        kind = "empty" if is_empty else kind
        reason = "it is an empty file" if is_empty else "it is cut short or not an image"
    problem = f"({what}) cannot be read ({reason})"
    return Fault(f"{what}-{kind}", path, "", problem, "replace or remove it")


def size_faults(
    what: str, path: str, shape: Sequence[int], size: Sequence[int], of: str
) -> Iterator[Fault]:
    """Yield the fault of an image, PNG or label map that is not of the expected size.

    Args:
        what: 'image', 'png' or 'map'; begins the name of the fault's kind.
        path: the file.
        shape: its height and width.
        size: the expected height and width.
        of: names what has the expected size.
    """
    if tuple(shape[:2]) != tuple(size):
        problem = f"is {shape[1]}x{shape[0]} pixels but {of} is {size[1]}x{size[0]}"
        action = "they must be of one size"
        if tuple(shape[1::-1]) == tuple(size):
            action += " (turned by an EXIF orientation? store the pixels upright)"
        yield Fault(f"{what}-size", path, "", problem, action)
