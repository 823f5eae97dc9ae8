"""Mean IoU (mIoU): of semantic maps against panoptic ground truth, and by class from mmseg."""

from collections.abc import Mapping, Sequence
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
    """Count one image's pixels by class; each segment of the truth, crowds included, counts.

    detectron2 and Mask2Former make semantic maps of panoptic annotations in the same way. They
    paint every segment and never look at ``iscrowd``; only void is ignored, on both sides.

    Args:
        truth: Segments of the ground truth.
        true_ids: (N,), values of the truth's id map; values of no segment are void.
        labels: (N,), labels predicted on them. A label below 0 or from ``num_classes`` on is no
            class, which is a miss.
        pixels: (N,), number of pixels of each of these pairs.
        num_classes: Number of classes.

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
    """Return ``miou`` in 0..1 and ``per_class``: category id as text -> IoU.

    Classes that occur on neither side are NaN and left out of the mean, as in mmseg. detectron2
    leaves out the classes that the truth lacks, which is the same on a whole validation set.

    Args:
        areas: (C, 3) as :func:`class_areas`, summed over images.
        categories: In the order of labels.
    """
    intersection, truth, prediction = areas.T.astype(float)
    union = truth + prediction - intersection
    iou = np.divide(intersection, union, out=np.full(len(areas), np.nan), where=union > 0)
    per_class = {str(c["id"]): float(value) for c, value in zip(categories, iou, strict=True)}
    return {"miou": _mean(iou), "per_class": per_class}


def keep_class_figures(metric: Any) -> None:
    """Make mmseg's ``IoUMetric`` keep :func:`class_figures` as its attribute ``report``.

    mmseg prints the figures of classes and does not return them. Other metrics stay as they are.
    """
    compute = getattr(metric, "total_area_to_metrics", None)
    if compute is None:
        return

    def compute_and_keep(*args: Any, **kwargs: Any) -> Mapping[str, np.ndarray]:
        figures = compute(*args, **kwargs)
        metric.report = class_figures(figures, metric.dataset_meta["classes"])
        return figures

    metric.total_area_to_metrics = compute_and_keep


def class_figures(figures: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, Any]:
    """Return means and figures by class, all in 0..1, NaN where nothing was counted.

    Args:
        figures: As ``IoUMetric`` computes them: ``aAcc``, one number, and others, such as ``IoU``
            and ``Acc``, of each class.
        names: The classes in the order of labels.

    Returns:
        ``all``: ``aAcc``, ``mIoU``, ``mAcc``, ...; ``per_class``: name -> ``IoU``, ``Acc``, ...
    """
    by_class = {key: values for key, values in figures.items() if key != "aAcc"}
    means = {f"m{key}": _mean(values) for key, values in by_class.items()}
    rows = zip(*by_class.values(), strict=True)
    return {
        "all": {"aAcc": float(figures["aAcc"]), **means},
        "per_class": {
            name: dict(zip(by_class, map(float, row), strict=True))
            for name, row in zip(names, rows, strict=True)
        },
    }


def _mean(values: np.ndarray) -> float:
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else np.nan
