"""Encoded pictures and label maps: JPEG for people, PNG for programs."""

from collections.abc import Iterable

import cv2
import numpy as np

from mmproscale.datasets.checks.annotation_faults import MAX_SEMANTIC_ID
from mmproscale.errors import InputError


def encode_category_png(category_map: np.ndarray) -> bytes:
    """Encode category ids (H, W) as a grey PNG of 8 bits, or 16 where an id needs them.

    Raises:
        InputError: An id needs more than 16 bits, or is negative.
    """
    check_category_ids(np.unique(category_map).tolist())
    wide = category_map.max(initial=0) > 255
    return _encode(".png", category_map.astype(np.uint16 if wide else np.uint8))


def check_category_ids(ids: Iterable[int]) -> None:
    """Raise InputError for an id that a PNG of 16 bits can't hold."""
    wrong = [number for number in ids if not 0 <= number <= MAX_SEMANTIC_ID]
    if wrong:
        raise InputError(
            f"category id {wrong[0]} does not fit a semantic PNG of 16 bits (0 to "
            f"{MAX_SEMANTIC_ID}): number the categories of the annotation file from 1 and train "
            "again, or leave 'semantic' out of --kinds"
        )


def encode_jpg(picture: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) RGB as JPEG, at a quality that keeps text readable."""
    return _encode(".jpg", picture[..., ::-1], cv2.IMWRITE_JPEG_QUALITY, 92)


def _encode(extension: str, pixels: np.ndarray, *options: int) -> bytes:
    encoded, buffer = cv2.imencode(extension, pixels, options)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a {extension} of shape {pixels.shape}")
    return buffer.tobytes()
