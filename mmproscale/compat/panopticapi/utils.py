"""Segment ids as colours: id = R + 256 G + 65536 B, the encoding of COCO panoptic PNGs."""

from collections.abc import Sequence

import numpy as np


def rgb2id(color: np.ndarray | Sequence[int]) -> np.ndarray | int:
    """Return the ids (H, W), int32, of an image (H, W, 3), or the id of one colour."""
    if isinstance(color, np.ndarray) and color.ndim == 3:
        wide = color.astype(np.int32)  # uint8 would overflow at 256
        return wide[..., 0] + 256 * wide[..., 1] + 256 * 256 * wide[..., 2]
    red, green, blue = (int(channel) for channel in color)
    return red + 256 * green + 256 * 256 * blue


def id2rgb(id_map: np.ndarray | int) -> np.ndarray | list[int]:
    """Return the colours (..., 3), uint8, of a map of ids, or [R, G, B] of one id."""
    if isinstance(id_map, np.ndarray):
        ids = id_map.astype(np.int64)
        channels = [ids % 256, ids // 256 % 256, ids // (256 * 256) % 256]
        return np.stack(channels, axis=-1).astype(np.uint8)
    return [id_map % 256, id_map // 256 % 256, id_map // (256 * 256) % 256]
