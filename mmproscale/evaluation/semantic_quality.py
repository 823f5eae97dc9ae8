"""Mean IoU of semantic maps against the semantics of panoptic ground truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmproscale.evaluation.panoptic_quality import Segments, positions

AREAS = ("intersection", "truth", "prediction")
"""Columns of the counts: pixels of a class on both sides, in the truth, in the prediction."""


def class_areas(
    truth: Segments,
    true_ids: np.ndarray,
    labels: np.ndarray,
    pixels: np.ndarray,
    num_classes: int,
) -> np.ndarray:
    """Counts of one image: each segment of the truth counts for its class, crowds included.

    That is how detectron2 and Mask2Former make semantic maps of panoptic annotations: they paint
    every segment and never look at ``iscrowd``; only void is ignored, on both sides.

    Args:
        truth: Segments of the ground truth.
        true_ids: (N,), values of the truth's id map; those of no segment are void.
        labels: (N,), predicted labels on them; from ``num_classes`` on, or below 0, no class is
            predicted, which is a miss.
        pixels: (N,), how many pixels each of these pairs has.
        num_classes: How many classes there are.

    Returns:
        (num_classes, 3) int64, columns as ``AREAS``.
    """
    places = positions(truth.ids, true_ids)
    real = places >= 0
    true_labels, labels, pixels = truth.labels[places[real]], labels[real], pixels[real]
    areas = np.zeros((num_classes, len(AREAS)), np.int64)
    right = true_labels == labels
    named = (labels >= 0) & (labels < num_classes)
    np.add.at(areas[:, 0], true_labels[right], pixels[right])
    np.add.at(areas[:, 1], true_labels, pixels)
    np.add.at(areas[:, 2], labels[named], pixels[named])
    return areas


def semantic_quality(areas: np.ndarray, categories: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``miou`` in 0..1 and ``per_class``: category id as text -> IoU.

    Classes that occur on neither side are NaN and left out of the mean, as in mmseg; detectron2
    leaves out those that the truth lacks, which is the same on a whole validation set.

    Args:
        areas: (C, 3) as :func:`class_areas` gives them, summed over images.
        categories: In the order of labels.
    """
    intersection, truth, prediction = areas.T.astype(float)
    union = truth + prediction - intersection
    iou = np.divide(intersection, union, out=np.full(len(areas), np.nan), where=union > 0)
    seen = iou[~np.isnan(iou)]
    per_class = {str(c["id"]): float(value) for c, value in zip(categories, iou, strict=True)}
    return {"miou": float(seen.mean()) if len(seen) else np.nan, "per_class": per_class}
