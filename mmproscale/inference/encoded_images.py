"""Encoded pictures and label maps: JPEG for people, PNG for programs."""

import cv2
import numpy as np


def encode_category_png(category_map: np.ndarray) -> bytes:
    """Encode category ids (H, W) as a grey PNG of 8 bits, or 16 where an id needs them."""
    wide = category_map.max(initial=0) > 255
    return _encode(".png", category_map.astype(np.uint16 if wide else np.uint8))


def encode_jpg(picture: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) RGB as JPEG, at a quality that keeps text readable."""
    return _encode(".jpg", picture[..., ::-1], cv2.IMWRITE_JPEG_QUALITY, 92)


def _encode(extension: str, pixels: np.ndarray, *options: int) -> bytes:
    encoded, buffer = cv2.imencode(extension, pixels, options)
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a {extension} of shape {pixels.shape}")
    return buffer.tobytes()
