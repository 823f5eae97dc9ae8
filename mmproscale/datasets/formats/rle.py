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


def runs_of(mask: np.ndarray, offset: tuple[int, ...], height: int) -> np.ndarray:
    """Return the runs of a mask that is part of an image.

    Args:
        mask: (h, w) bool.
        offset: Row and column of its upper left corner in the image.
        height: Of the image.

    Returns:
        (2, N): first and end pixel of each vertical run, counted down the columns as RLE does.
    """
    padded = np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded, axis=1)
    columns, starts = np.nonzero(change == 1)
    _, ends = np.nonzero(change == -1)
    base = (columns.astype(np.int64) + offset[1]) * height + offset[0]
    return np.stack([base + starts, base + ends])


def rle_of_runs(runs: np.ndarray, size: tuple[int, ...]) -> dict[str, Any]:
    """Encode runs (2, N) of :func:`runs_of`, for an image of ``size`` (H, W).

    Runs may overlap: the mask has the pixels of all of them.
    """
    starts, ends = runs[:, np.argsort(runs[0])]
    ends = np.maximum.accumulate(ends)
    apart = starts[1:] > ends[:-1]
    edges = np.zeros(0, np.int64)
    if len(starts):
        edges = np.stack([starts[np.r_[True, apart]], ends[np.r_[apart, True]]], axis=1).ravel()
    end = [size[0] * size[1]] if not len(edges) or edges[-1] < size[0] * size[1] else []
    counts = np.diff(np.r_[0, edges, end].astype(np.int64))
    return mask_utils.fr_py_objects({"size": list(size), "counts": counts.tolist()}, *size)


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
