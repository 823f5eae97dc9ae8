"""Read label maps, image sizes and JSON fields, with one line for what is wrong with them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmproscale.datasets.formats.images import upright_size
from mmproscale.errors import InputError


def read_pixels(path: Path, what: str) -> np.ndarray:
    """The values of an image as they are stored: indices of a palette, 8 or 16 bits.

    Args:
        path: A PNG, or what else Pillow reads without loss.
        what: What it is, for messages ('semantic map').

    Returns:
        (H, W) or, red first, (H, W, channels).

    Raises:
        InputError: It is missing or cannot be read.
    """
    with _image(path, what) as image:
        return np.asarray(image)


def read_label_map(path: Path, what: str) -> np.ndarray:
    """A map of one number for each pixel, (H, W) int32.

    Raises:
        InputError: It is missing, cannot be read, or has colours.
    """
    values = read_pixels(path, what)
    if values.ndim != 2 or not (values.dtype == bool or np.issubdtype(values.dtype, np.integer)):
        raise InputError(
            f"{what} '{path}' has {values.ndim} dimensions of {values.dtype}: expected one whole "
            "number for each pixel (a PNG in grey or with a palette)"
        )
    return values.astype(np.int32)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width as training reads the image: turned upright, where its Exif says so.

    Raises:
        InputError: It is missing or is no image.
    """
    with _image(path, "image") as image:
        return upright_size(image)


def check_one_size(path: Path, size: tuple[int, ...], other: Path, expected: tuple) -> None:
    """Raise InputError unless two files have one (height, width)."""
    if tuple(size[:2]) != tuple(expected[:2]):
        raise InputError(
            f"'{path}' is {size[1]}x{size[0]} pixels but '{other}' is "
            f"{expected[1]}x{expected[0]}: they must be of one size"
        )


def field(entry: Any, key: str, kinds: type | tuple[type, ...], where: str) -> Any:
    """``entry[key]``, which is of one of the types.

    Args:
        entry: A JSON object.
        key: What to read.
        kinds: A type, or several.
        where: The file and the entry's place in it, for messages.

    Raises:
        InputError: The entry is no object, has no such key or another kind of value.
    """
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} is {_short(entry)}: expected an object with '{key}'")
    if key not in entry:
        raise InputError(f"{where} has no '{key}'")
    value, kinds = entry[key], kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join("object" if kind is dict else kind.__name__ for kind in kinds)
        raise InputError(f"{where}: '{key}' is {_short(value)}, expected {names}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@contextmanager
def _image(path: Path, what: str) -> Iterator[Image.Image]:
    if not path.is_file():
        raise InputError(f"{what} '{path}' does not exist")
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # large images are fine
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or "it is empty, cut short or not an image"
        raise InputError(f"{what} '{path}' cannot be read: {reason}") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
