"""PQ, SQ and RQ by panopticapi's protocol, from counts that add up over images and processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmproscale.datasets.formats.panoptic_png import VOID

IOU_UNIT = 2.0**-40
"""Sums of IoU are whole numbers of this, so that they don't depend on the order of images."""

COUNTS = ("iou", "tp", "fp", "fn")
"""Columns of the counts: sum of matched IoUs in ``IOU_UNIT``, matched, extra, missed segments."""

GROUPS = {"all": "", "things": "_th", "stuff": "_st"}
"""The protocol's groups of classes, and what is appended to a figure's name for each."""


@dataclass(frozen=True)
class Segments:
    """The segments of one id map; arrays of (N,).

    Args:
        ids: Their values in the map, each once.
        labels: Their classes.
        areas: Pixels; of ground truth as its JSON says.
        crowds: Whether each is a crowd region; predictions have none.
    """

    ids: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray


Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def match_segments(
    truth: Segments, prediction: Segments, pairs: Pairs, num_classes: int
) -> np.ndarray:
    """Counts of one image by panopticapi's rules.

    A pair of one class matches if its IoU is above 0.5; the union leaves out what of the prediction
    lies on void. A crowd is neither matched nor missed. An unmatched prediction is not extra if
    more than half of it lies on void and on the last crowd of its class.

    Args:
        truth: Segments of the ground truth.
        prediction: Segments of the prediction.
        pairs: What ``count_pairs`` says of the two id maps.
        num_classes: Labels are below it.

    Returns:
        (num_classes, 4) int64, columns as ``COUNTS``.
    """
    on_void, overlap = _overlaps(truth, prediction, pairs)
    union = truth.areas[:, None] + (prediction.areas - on_void)[None] - overlap
    comparable = (truth.labels[:, None] == prediction.labels[None]) & ~truth.crowds[:, None]
    iou = np.divide(overlap, union, out=np.zeros(overlap.shape), where=comparable & (overlap > 0))
    matched = iou > 0.5
    missed = ~matched.any(1) & ~truth.crowds
    ignored = on_void + _on_last_crowd(truth, prediction, overlap)
    extra = ~matched.any(0) & (ignored / prediction.areas <= 0.5)
    counts = np.zeros((num_classes, len(COUNTS)), np.int64)
    rows, columns = np.nonzero(matched)
    units = np.rint(iou[rows, columns] / IOU_UNIT).astype(np.int64)
    np.add.at(counts[:, 0], truth.labels[rows], units)
    np.add.at(counts[:, 1], truth.labels[rows], 1)
    np.add.at(counts[:, 2], prediction.labels[extra], 1)
    np.add.at(counts[:, 3], truth.labels[missed], 1)
    return counts


def _overlaps(truth: Segments, prediction: Segments, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each prediction on void, (P,), and on each segment of the truth, (T, P)."""
    true_ids, predicted_ids, pixels = pairs
    rows = positions(np.concatenate([[VOID], truth.ids]), true_ids)
    columns = positions(prediction.ids, predicted_ids)
    known = (rows >= 0) & (columns >= 0)
    table = np.zeros((1 + len(truth.ids), len(prediction.ids)), np.int64)
    table[rows[known], columns[known]] = pixels[known]
    return table[0], table[1:]


def _on_last_crowd(truth: Segments, prediction: Segments, overlap: np.ndarray) -> np.ndarray:
    """Pixels of each prediction on the last crowd of its class, (P,)."""
    on_crowd = np.zeros(len(prediction.ids), np.int64)
    for index in np.flatnonzero(truth.crowds):
        of_class = prediction.labels == truth.labels[index]
        on_crowd[of_class] = overlap[index, of_class]
    return on_crowd


def positions(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where each of ``values`` stands in ``ids``; -1 where it does not."""
    if not len(ids):
        return np.full(len(values), -1)
    order = np.argsort(ids, kind="stable")
    places = order[np.searchsorted(ids, values, sorter=order).clip(max=len(ids) - 1)]
    return np.where(ids[places] == values, places, -1)


def quality_of_classes(counts: np.ndarray) -> dict[str, np.ndarray]:
    """``pq``, ``sq``, ``rq`` in 0..1 of each class.

    Args:
        counts: (C, 4) as :func:`match_segments` gives them, summed over images.

    Returns:
        Arrays of (C,). A class that occurs on neither side has NaN; one that is never matched has
        an SQ of 0, as in panopticapi.
    """
    iou, tp, fp, fn = counts.T.astype(float)
    iou = iou * IOU_UNIT
    occurs = tp + fp + fn > 0
    matched = np.maximum(tp, 1)
    events = np.where(occurs, tp + 0.5 * fp + 0.5 * fn, np.nan)
    return {"pq": iou / events, "sq": np.where(occurs, iou / matched, np.nan), "rq": tp / events}


def panoptic_quality(counts: np.ndarray, categories: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of all classes, of the groups and of each class.

    Args:
        counts: (C, 4) as :func:`match_segments` gives them, summed over images.
        categories: In the order of labels.

    Returns:
        ``all``, ``things``, ``stuff``: dicts of ``pq``, ``sq``, ``rq`` in 0..1 and ``n``, the
        number of classes averaged (those that occur on neither side are left out; NaN if that
        leaves none). ``per_class``: category id as text -> ``name``, ``isthing``, ``pq``, ``sq``,
        ``rq`` (0 of a class that occurs on neither side, as panopticapi says it) and the sums
        behind them, ``iou``, ``tp``, ``fp``, ``fn``.
    """
    quality = quality_of_classes(counts)
    is_thing = np.array([bool(category["isthing"]) for category in categories])
    groups = {"all": np.ones_like(is_thing), "things": is_thing, "stuff": ~is_thing}
    return {
        **{name: _mean(quality, members) for name, members in groups.items()},
        "per_class": {
            str(category["id"]): {
                "name": category["name"],
                "isthing": int(category["isthing"]),
                **{key: float(np.nan_to_num(values[label])) for key, values in quality.items()},
                "iou": float(counts[label, 0] * IOU_UNIT),
                **{key: int(n) for key, n in zip(COUNTS[1:], counts[label, 1:], strict=True)},
            }
            for label, category in enumerate(categories)
        },
    }


def image_quality(counts: np.ndarray, categories: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one image: ``pq``, ``sq``, ``rq``, ``n``, and the classes that occur in it."""
    quality = panoptic_quality(counts, categories)
    present = {k: v for k, v in quality["per_class"].items() if v["tp"] + v["fp"] + v["fn"]}
    return {**quality["all"], "per_class": present}


def _mean(quality: dict[str, np.ndarray], members: np.ndarray) -> dict[str, Any]:
    members = members & ~np.isnan(quality["pq"])
    means = {k: float(v[members].mean()) if members.any() else np.nan for k, v in quality.items()}
    return {**means, "n": int(members.sum())}
