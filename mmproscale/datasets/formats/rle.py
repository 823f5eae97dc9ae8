"""Masks in COCO's run-length encoding (RLE): a dict of ``size`` (H, W) and ``counts``."""

from typing import Any

import numpy as np
from hotcoco import mask as mask_utils


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """Encode a mask (H, W) bool; the RLE's ``counts`` are bytes."""
    return mask_utils.encode(mask)


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """Encode masks (N, H, W) bool as one RLE each."""
    return mask_utils.encode(masks.transpose(1, 2, 0)) if len(masks) else []


def decode_mask(rle: dict[str, Any]) -> np.ndarray:
    """Decode an RLE to a mask (H, W) bool."""
    return mask_utils.decode(rle).astype(bool)


def mask_fields(rle: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a COCO annotation that follow from its mask.

    Returns:
        ``segmentation``, the RLE itself; ``area`` in pixels; ``bbox`` as (x, y, w, h) in pixels.
    """
    return {
        "segmentation": rle,
        "area": float(mask_utils.area(rle)),
        "bbox": [float(side) for side in mask_utils.to_bbox(rle)],
    }


def with_text_counts(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation whose RLE has its ``counts`` as text, as JSON needs them."""
    rle = annotation["segmentation"]
    return annotation | {"segmentation": rle | {"counts": rle["counts"].decode()}}
