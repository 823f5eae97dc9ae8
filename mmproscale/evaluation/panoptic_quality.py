"""Panoptic quality (PQ), SQ and RQ by panopticapi's protocol.

An image is counted first, from maps in memory or from PNG files. The counts add up over images and
processes, and the figures follow from their sum.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hotcoco.panoptic import PanopticEval

from mmproscale.datasets.formats.panoptic_png import VOID

IOU_UNIT = 2.0**-40
"""Sums of IoU are whole numbers of this unit, so that they don't depend on the order of images."""

COUNTS = ("iou", "tp", "fp", "fn")
"""Columns of the counts: sum of matched IoUs in ``IOU_UNIT``, matched, extra, missed segments."""

GROUPS = {"all": "", "things": "_th", "stuff": "_st"}
"""The protocol's groups of classes, each with the suffix of its figures' names."""

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
_SHIFT = 32


@dataclass(frozen=True)
class Segments:
    """Segments of one id map, as arrays of (N,).

    Args:
        ids: Their values in the map, each once.
        labels: Their classes.
        areas: Pixels; of ground truth as its JSON says.
        crowds: True for crowd regions; predictions have none.
    """

    ids: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray


class StoredMap(NamedTuple):
    """A panoptic PNG and its segments in the JSON.

    ``segments`` are dicts with ``id`` and ``category_id``. Those of ground truth also have
    ``area`` in whole pixels, and may have ``iscrowd``.
    """

    folder: Path
    file_name: str
    segments: Sequence[dict[str, Any]]

    @property
    def path(self) -> Path:
        """Path of the PNG."""
        return self.folder / self.file_name


def count_pairs(first: np.ndarray, second: np.ndarray) -> Pairs:
    """Count the pixels of every pair of values that occurs.

    Maps of segments are made of long runs. A pair is looked up only where one of the two maps
    changes, so the cost is that of comparing neighbours.

    Args:
        first: (H, W) integers, 0 to 2**31 - 1.
        second: (H, W) integers, -2**31 to 2**31 - 1.

    Returns:
        Three (N,) int64 arrays, one entry for each pair, sorted by it: values of ``first``, values
        of ``second``, pixels.
    """
    first, second = np.ravel(first), np.ravel(second)
    changes = first[1:] != first[:-1]
    changes |= second[1:] != second[:-1]
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])[: first.size]
    lengths = np.diff(starts, append=first.size)
    keys = (first[starts].astype(np.int64) << _SHIFT) + second[starts]
    pairs = np.unique(keys)
    # Sorting values and searching them is faster than sorting their places.
    pixels = np.bincount(np.searchsorted(pairs, keys), lengths, len(pairs)).astype(np.int64)
    of_first = (pairs + (1 << (_SHIFT - 1))) >> _SHIFT
    return of_first, pairs - (of_first << _SHIFT), pixels


def match_segments(
    truth: Segments, prediction: Segments, pairs: Pairs, num_classes: int
) -> np.ndarray:
    """Count one image by panopticapi's rules.

    A pair of one class matches if its IoU is above 0.5. The union leaves out the part of the
    prediction that lies on void. A crowd is neither matched nor missed. An unmatched prediction is
    not extra if more than half of it lies on void and on the last crowd of its class.

    Args:
        truth: Segments of the ground truth.
        prediction: Segments of the prediction.
        pairs: Result of :func:`count_pairs` for the two id maps, the ground truth's first.
        num_classes: Labels are below it.

    Returns:
        (num_classes, 4) int64, columns as ``COUNTS``.
    """
    on_void, overlap = overlaps(truth, prediction, pairs)
    union = truth.areas[:, None] + (prediction.areas - on_void)[None] - overlap
    comparable = (truth.labels[:, None] == prediction.labels[None]) & ~truth.crowds[:, None]
    iou = np.divide(overlap, union, out=np.zeros(overlap.shape), where=comparable & (overlap > 0))
    matched = iou > 0.5
    missed = ~matched.any(1) & ~truth.crowds
    ignored = on_void + pixels_on_last_crowd(truth, prediction, overlap)
    extra = ~matched.any(0) & (ignored / prediction.areas <= 0.5)
    counts = np.zeros((num_classes, len(COUNTS)), np.int64)
    rows, columns = np.nonzero(matched)
    units = np.rint(iou[rows, columns] / IOU_UNIT).astype(np.int64)
    np.add.at(counts[:, 0], truth.labels[rows], units)
    np.add.at(counts[:, 1], truth.labels[rows], 1)
    np.add.at(counts[:, 2], prediction.labels[extra], 1)
    np.add.at(counts[:, 3], truth.labels[missed], 1)
    return counts


def overlaps(truth: Segments, prediction: Segments, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Count each prediction's pixels on void, (P,), and on each true segment, (T, P)."""
    true_ids, predicted_ids, pixels = pairs
    rows = positions(np.concatenate([[VOID], truth.ids]), true_ids)
    columns = positions(prediction.ids, predicted_ids)
    known = (rows >= 0) & (columns >= 0)
    table = np.zeros((1 + len(truth.ids), len(prediction.ids)), np.int64)
    table[rows[known], columns[known]] = pixels[known]
    return table[0], table[1:]


def pixels_on_last_crowd(truth: Segments, prediction: Segments, overlap: np.ndarray) -> np.ndarray:
    """Count the pixels of each prediction on the last crowd of its class, (P,)."""
    on_crowd = np.zeros(len(prediction.ids), np.int64)
    for index in np.flatnonzero(truth.crowds):
        of_class = prediction.labels == truth.labels[index]
        on_crowd[of_class] = overlap[index, of_class]
    return on_crowd


def positions(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the index in ``ids`` of each of ``values``, -1 for values that are not in it."""
    if not len(ids):
        return np.full(len(values), -1)
    order = np.argsort(ids, kind="stable")
    places = order[np.searchsorted(ids, values, sorter=order).clip(max=len(ids) - 1)]
    return np.where(ids[places] == values, places, -1)


def count_files(
    truth: StoredMap, prediction: StoredMap, categories: Sequence[dict[str, Any]]
) -> np.ndarray:
    """Count one image from its PNGs: hotcoco decodes and compares them faster than we could.

    Args:
        truth: The ground truth.
        prediction: The prediction.
        categories: In the order of labels.

    Returns:
        (C, 4) int64, as :func:`match_segments`.

    Raises:
        ValueError: A PNG can't be decoded; sizes differ; PNG and JSON of the prediction
            contradict each other.
    """
    # Image ids may be names, but hotcoco takes only whole numbers.
    image = {"file_name": truth.file_name, "id": 0}
    classes = [dict(id=c["id"], name=c["name"], isthing=int(c["isthing"])) for c in categories]
    of_truth = _annotation(truth, ("id", "category_id", "area", "iscrowd"))
    sides = (
        {"images": [image], "annotations": [of_truth], "categories": classes},
        {"annotations": [_annotation(prediction, ("id", "category_id"))]},
    )
    folders = dict(gt_folder=str(truth.folder), pred_folder=str(prediction.folder))
    try:
        evaluation = PanopticEval(*sides, **folders)
        evaluation.evaluate()
    except (KeyError, TypeError, OSError) as error:
        raise ValueError(error) from error
    per_class = evaluation.results()["per_class"]
    found = [per_class[category["id"]] for category in categories]
    return np.array(
        [[round(c["iou"] / IOU_UNIT), *(c[key] for key in COUNTS[1:])] for c in found], np.int64
    ).reshape(-1, len(COUNTS))


def _annotation(side: StoredMap, keys: Sequence[str]) -> dict[str, Any]:
    segments = [{key: s[key] for key in keys if key in s} for s in side.segments]
    return {"file_name": side.file_name, "segments_info": segments, "image_id": 0}


def is_consistent(truth: StoredMap, categories: Sequence[dict[str, Any]]) -> bool:
    """Tell if a ground truth's PNG holds exactly the JSON's segments, with their areas.

    If so, every segment matches itself with an IoU of 1, since the union is the JSON's area. This
    takes half the time of decoding the PNG in Python.
    """
    # Crowds would not be matched.
    plain = truth._replace(segments=[segment | {"iscrowd": 0} for segment in truth.segments])
    try:
        counts = count_files(plain, plain, categories)
    except ValueError:
        return False
    of_class = Counter(segment["category_id"] for segment in plain.segments)
    expected = [
        [of_class[c["id"]] / IOU_UNIT, of_class[c["id"]], 0, 0]  # as COUNTS
        for c in categories
    ]
    return np.array_equal(counts, np.reshape(expected, counts.shape))


def quality_of_classes(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``pq``, ``sq``, ``rq`` in 0..1 of each class.

    Args:
        counts: (C, 4) as :func:`match_segments`, summed over images.

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
    """Return the figures of all classes, of the groups and of each class.

    Args:
        counts: (C, 4) as :func:`match_segments`, summed over images.
        categories: In the order of labels.

    Returns:
        ``all``, ``things``, ``stuff``: dicts of ``pq``, ``sq``, ``rq`` in 0..1 and ``n``, the
        number of classes averaged. Classes that occur on neither side are left out of the average;
        if none remains, it is NaN. ``per_class``: category id as text -> ``name``, ``isthing``,
        ``pq``, ``sq``, ``rq`` (0 for a class that occurs on neither side, as in panopticapi) and
        the sums behind them, ``iou``, ``tp``, ``fp``, ``fn``.
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
    """Return one image's ``pq``, ``sq``, ``rq`` and ``n``, and the classes that occur in it."""
    quality = panoptic_quality(counts, categories)
    present = {k: v for k, v in quality["per_class"].items() if v["tp"] + v["fp"] + v["fn"]}
    return {**quality["all"], "per_class": present}


def _mean(quality: dict[str, np.ndarray], members: np.ndarray) -> dict[str, Any]:
    members = members & ~np.isnan(quality["pq"])
    means = {k: float(v[members].mean()) if members.any() else np.nan for k, v in quality.items()}
    return {**means, "n": int(members.sum())}
