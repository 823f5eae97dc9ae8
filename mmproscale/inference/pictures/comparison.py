"""Sheet of several images, each with its prediction next to its ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mmproscale.inference.pictures.box_picture import box_picture
from mmproscale.inference.pictures.panoptic_picture import Panel, panoptic_picture, titled_row
from mmproscale.inference.results import Result

LONG_SIDE = 400
"""Pixels of the long side of each picture in a sheet."""


def comparison(result: Result, truth: Panel | list[dict[str, Any]] | None) -> np.ndarray:
    """Draw an image, its prediction and its ground truth side by side, in a small size.

    Args:
        result: The prediction; its first kind is drawn.
        truth: Panel of the ground truth, or COCO's annotations with ``score`` for boxes; None to
            leave it out.

    Returns:
        (H', W', 3) RGB uint8.
    """
    kind, (height, width) = result.kinds[0], result.image.shape[:2]
    factor = LONG_SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    image = cv2.resize(result.image, size, interpolation=cv2.INTER_AREA)
    if kind == "boxes":
        assert result.instances is not None
        sides = {"prediction": result.instances.to_coco(), "ground truth": truth}
        pictures = [("image", image)] + [
            (title, box_picture(image, _scaled(boxes, factor), result.categories, min(size)))
            for title, boxes in sides.items()
            if isinstance(boxes, list)
        ]
        return titled_row(pictures)
    panels = [result.panel(kind)] + ([truth] if isinstance(truth, tuple) else [])
    small = [
        (title, cv2.resize(ids.astype(np.int32), size, interpolation=cv2.INTER_NEAREST), segments)
        for title, ids, segments in panels
    ]
    void = 0.8 if kind == "instance" else 1 / 3
    return panoptic_picture(image, small, result.categories, min(size), void=void)


def _scaled(boxes: Sequence[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    return [one | dict(bbox=[factor * value for value in one["bbox"]]) for one in boxes]


def stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures (H, W, 3) below each other in two columns, on white."""
    half = (len(rows) + 1) // 2
    columns = [_joined(part, 0) for part in (rows[:half], rows[half:]) if len(part)]
    return _joined(columns, 1)


def _joined(parts: Sequence[np.ndarray], axis: int, gap: int = 8) -> np.ndarray:
    """Join pictures along an axis, with a gap, to the size of the largest along the other."""
    size = max(part.shape[1 - axis] for part in parts)
    padded = []
    for part in parts:
        pads = [(0, gap), (0, gap), (0, 0)]
        pads[1 - axis] = (0, size - part.shape[1 - axis])
        padded.append(np.pad(part, pads, constant_values=255))
    return np.concatenate(padded, axis)
