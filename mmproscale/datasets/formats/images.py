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
SENSOR_BITS = (8, 10, 12, 14, 16)
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height


def exif_orientation(image: Image.Image) -> int:
    """Return the Exif orientation, 1 to 8, of an image that Pillow opened; by default 1."""
    # Pillow would read all pixels of a PNG to look for Exif after them.
    is_known = image.format != "PNG" or "exif" in image.info
    value = image.getexif().get(ExifTags.Base.Orientation) if is_known else None
    return value if value is not None and value in range(1, 9) else UPRIGHT


def decode_image(data: bytes) -> np.ndarray | None:
    """Decode an image to (H, W, 3) uint8 BGR, turned as its Exif says; None if it can't be.

    Training reads images in the same way, so this is the one function that knows an image's size.
    """
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
        yield from range_notes(path, image)


def range_notes(path: str, image: np.ndarray) -> Iterator[Fault]:
    """Yield the note of a file of 16 bits that uses a small part of their range.

    Args:
        path: the image.
        image: (H, W, 3) uint8, its pixels as :func:`decode_image` returns them: values / 256.
    """
    if image.max(initial=0) > 127:
        return
    stored = cv2.imdecode(np.frombuffer(get(path), np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        return
    top = int(stored.max(initial=0))
    bits = next(bits for bits in SENSOR_BITS if top < 2**bits)
    part = 2 ** (16 - bits)
    problem = f"(image) has 16 bits and uses 1/{part} of their range (highest value {top}), so it"
    problem += f" is read with values up to {image.max(initial=0)} of 255"
    action = f"multiply its values by {part}, or store 8 bits"
    yield Fault("image-dark-16-bit", path, "", problem, action, note=True)


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
        reason = "it is an empty file" if is_empty else _form(file)
    problem = f"({what}) cannot be read ({reason})"
    return Fault(f"{what}-{kind}", path, "", problem, "replace or remove it")


def _form(path: Path) -> str:
    """Return the reason why OpenCV can't decode a file that is not empty."""
    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "it is cut short or not an image"
    values = {"F": "32-bit float values", "I": "32-bit whole numbers"}.get(mode, f"mode {mode}")
    return f"it has {values}: store 8 bits per channel"


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
