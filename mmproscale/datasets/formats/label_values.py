"""Values of label maps as they are stored: grey, palette indices or colours, 1 to 16 bits."""

from __future__ import annotations

import io
from struct import error as struct_error

import numpy as np
from PIL import Image

LOSSY = ("JPEG", "MPO", "WEBP")
"""Pillow's formats that change values; a map in one of them has labels that nobody drew."""
_GREY, _DEPTH, _COLOR_TYPE = 0, 24, 25  # PNG specification, IHDR


def label_values(data: bytes) -> np.ndarray:
    """Return the values of a label map's file: (H, W), or (H, W, channels) with red first.

    Pillow stretches the values of a grey PNG of 2 or 4 bits to 0..255; here they are as stored.

    Raises:
        OSError: The file is cut short or not an image.
        ValueError: Its format changes the values of pixels.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # large images are expected
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format in LOSSY:
                raise ValueError(f"{image.format} changes the values of pixels: write it as PNG")
            values = np.asarray(image)
            is_grey_png = image.format == "PNG" and data[_COLOR_TYPE] == _GREY
    except (SyntaxError, struct_error) as error:
        raise OSError(str(error)) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if values.dtype == bool:
        return values.astype(np.uint8)
    if is_grey_png and data[_DEPTH] in (2, 4):
        return values // (255 // (2 ** data[_DEPTH] - 1))
    return values
