"""Outcome of each segment of an image, the confusion of classes, and PQ by size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mmproscale.evaluation.panoptic_quality import Pairs, Segments, overlaps, pixels_on_last_crowd

MATCHED, WRONG_CLASS, IGNORED = "matched", "wrong class", "ignored"
MERGED, SPLIT, MISSED, EXTRA = "merged", "split", "missed", "extra"

SIZES = {"small": 0, "medium": 32**2, "large": 96**2}
"""COCO's sizes, each with its least number of pixels."""

LOST = (MERGED, SPLIT, MISSED)
"""Last columns of a confusion matrix: outcomes of true segments without a prediction of theirs."""


@dataclass(frozen=True)
class Outcome:
    """One segment of the ground truth or of a prediction, and what became of it.

    Args:
        id: Its value in the id map.
        label: Its class.
        area: Its pixels.
        state: ``MATCHED`` and ``WRONG_CLASS`` have a partner with an IoU above 0.5. Other true
            segments are ``MERGED`` (a prediction of its class covers most of it and most of another
            one of its class), ``SPLIT`` (two or more predictions of its class lie mostly in it and
            cover most of it) or ``MISSED``; other predictions are ``EXTRA``. Crowds, and
            predictions that PQ leaves out, are ``IGNORED``.
        iou: IoU with the segment of the other side that has the highest, 0..1; the part of a
            prediction on void is left out.
        partner: Id of that segment; 0 if nothing overlaps.
        partner_label: Its class; -1 if nothing overlaps.
    """

    id: int
    label: int
    area: int
    state: str
    iou: float
    partner: int
    partner_label: int


def segment_outcomes(
    truth: Segments, prediction: Segments, pairs: Pairs
) -> tuple[list[Outcome], list[Outcome]]:
    """Compare the segments of one image, with panopticapi's rules and no regard to classes.

    Args:
        truth: Segments of the ground truth.
        prediction: Segments of the prediction.
        pairs: Result of ``count_pairs`` for the two id maps, the ground truth's first.

    Returns:
        Outcomes of the true and of the predicted segments, in their order.
    """
    on_void, overlap = overlaps(truth, prediction, pairs)
    counted = prediction.areas - on_void
    union = truth.areas[:, None] + counted[None] - overlap
    iou = np.where(truth.crowds[:, None] | (overlap == 0), 0.0, overlap / np.maximum(union, 1))
    ignored = on_void + pixels_on_last_crowd(truth, prediction, overlap)
    same = truth.labels[:, None] == prediction.labels[None]
    lost = _lost_states(truth, counted, np.where(same, overlap, 0))
    unmatched = np.where(ignored / prediction.areas > 0.5, IGNORED, EXTRA)
    return (
        _outcomes(truth, prediction, iou, np.where(truth.crowds, IGNORED, lost)),
        _outcomes(prediction, truth, iou.T, unmatched),
    )


def _lost_states(truth: Segments, counted: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """Return merged, split or missed for each true segment, as if none were matched."""
    covers = (overlap > 0.5 * truth.areas[:, None]) & ~truth.crowds[:, None]
    merged = (covers & (covers.sum(0) > 1)).any(1)
    inside = overlap > 0.5 * np.maximum(counted, 1)[None]
    covered = np.where(inside, overlap, 0).sum(1)
    split = (inside.sum(1) > 1) & (covered > 0.5 * truth.areas)
    return np.where(merged, MERGED, np.where(split, SPLIT, MISSED))


def _outcomes(
    own: Segments, other: Segments, iou: np.ndarray, unmatched: np.ndarray
) -> list[Outcome]:
    """Return the outcomes of one side; ``iou`` is (own, other)."""
    found = []
    for place, state in enumerate(unmatched.tolist()):
        best = int(iou[place].argmax()) if len(other.ids) else 0
        value = float(iou[place, best]) if len(other.ids) else 0.0
        label = int(other.labels[best]) if value else -1
        if value > 0.5:
            state = MATCHED if label == own.labels[place] else WRONG_CLASS
        partner = int(other.ids[best]) if value else 0
        number, own_label, area = (int(v[place]) for v in (own.ids, own.labels, own.areas))
        found.append(Outcome(number, own_label, area, state, value, partner, label))
    return found


def confusion_matrix(
    images: Iterable[tuple[Sequence[Outcome], Sequence[Outcome]]], num_classes: int
) -> np.ndarray:
    """Count segments by true class and by what was predicted for them.

    Args:
        images: Results of :func:`segment_outcomes`.
        num_classes: Number of classes C.

    Returns:
        (C + 1, C + 3) int64. Row: the class of true segments; the last one has extra predictions.
        Column: the class of the prediction with an IoU above 0.5; the last three are ``LOST``.
    """
    matrix = np.zeros((num_classes + 1, num_classes + len(LOST)), np.int64)
    for true, predicted in images:
        for one in true:
            if one.state in (MATCHED, WRONG_CLASS):
                matrix[one.label, one.partner_label] += 1
            elif one.state in LOST:
                matrix[one.label, num_classes + LOST.index(one.state)] += 1
        for one in predicted:
            matrix[-1, one.label] += one.state == EXTRA
    return matrix


def quality_by_size(
    images: Iterable[tuple[Sequence[Outcome], Sequence[Outcome]]], labels: Sequence[int]
) -> dict[str, float]:
    """Return PQ of segments of each of ``SIZES``, as a mean over classes.

    A matched or missed segment has the size of the true one, an extra prediction its own.

    Args:
        images: Results of :func:`segment_outcomes`.
        labels: Classes that count, e.g. those of things.

    Returns:
        Size -> PQ in 0..1; NaN for a size that does not occur.
    """
    iou = np.zeros((len(SIZES), len(labels)))  # of matches
    events = np.zeros_like(iou)  # matches, and half of the errors
    place = {label: index for index, label in enumerate(labels)}
    for true, predicted in images:
        matches = [one for one in true if one.state == MATCHED]
        errors = [one for one in (*true, *predicted) if one.state not in (MATCHED, IGNORED)]
        for group, weight in ((matches, 1.0), (errors, 0.5)):
            for one in group:
                if one.label in place:
                    cell = _size(one.area), place[one.label]
                    events[cell] += weight
                    iou[cell] += one.iou if group is matches else 0
    quality = np.divide(iou, events, where=events > 0, out=np.full_like(iou, np.nan))
    means = [
        np.nanmean(row) if (events_of > 0).any() else np.nan
        for row, events_of in zip(quality, events, strict=True)
    ]
    return dict(zip(SIZES, map(float, means), strict=True))


def _size(area: int) -> int:
    return sum(area >= least for least in SIZES.values()) - 1
