"""Quality of a dataset for any choice of exits, from records of its single images.

Neither PQ nor AP of a dataset is the mean of its images' own. PQ divides sums over images, class by
class. AP sorts the detections of all images by score, but matches them within each image. Counts
and matches of single images therefore give both exactly, and no image has to be read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import sparse

from mmproscale.evaluation.panoptic_quality import COUNTS, quality_of_classes

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
BOX_IOUS: dict[str, Sequence[int]] = {"ap": range(len(IOUS)), "ap50": (0,)}
"""Indices into ``IOUS`` over which each quality of boxes is the mean."""


class QualityCounts(Protocol):
    """Records of N images at E exits that give the quality of any set of these images."""

    def take(self, indices: np.ndarray) -> QualityCounts:
        """Return the records of some images, each at most once, numbered in that order."""

    def quality(self, choice: np.ndarray) -> float:
        """Return the quality in 0..1 of all images, NaN where it is undefined.

        Args:
            choice: (N,) each image's exit as an index into the E exits.
        """

    def qualities(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the quality in 0..1 of S samples of the images, (S,).

        Args:
            choice: (N,) each image's exit as an index into the E exits.
            weights: (S, N) how often each sample has each image.
        """


@dataclass(frozen=True)
class ClassCounts:
    """PQ's counts: one row for each image and class that occurs in it, in truth or result.

    Args:
        images: (R,) number of the image, from 0.
        labels: (R,) class.
        values: (R, E, 4) int64, the counts of ``match_segments`` at each exit.
        num_images: N.
        num_classes: C.
    """

    images: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    num_images: int
    num_classes: int

    def take(self, indices: np.ndarray) -> ClassCounts:
        """Return the counts of some images, each at most once, numbered in that order."""
        numbers = _new_numbers(indices, self.num_images)[self.images]
        kept = numbers >= 0
        return replace(
            self,
            images=numbers[kept],
            labels=self.labels[kept],
            values=self.values[kept],
            num_images=len(indices),
        )

    def totals(self, choice: np.ndarray) -> np.ndarray:
        """Return the counts of all images, (C, 4) int64, for exits ``choice`` (N,)."""
        totals = np.zeros((self.num_classes, len(COUNTS)), np.int64)
        np.add.at(totals, self.labels, self._at(choice))
        return totals

    def weighted_totals(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the counts (S, C, 4) of samples that have image n ``weights[s, n]`` times."""
        values = self._at(choice)
        columns = self.labels[:, None] * len(COUNTS) + np.arange(len(COUNTS))
        rows = np.broadcast_to(self.images[:, None], columns.shape)
        shape = (self.num_images, self.num_classes * len(COUNTS))
        matrix = sparse.csr_array(
            (values.ravel().astype(float), (rows.ravel(), columns.ravel())), shape
        )
        return (weights @ matrix).reshape(len(weights), self.num_classes, len(COUNTS))

    def quality(self, choice: np.ndarray) -> float:
        """Return PQ in 0..1 of all images for exits ``choice`` (N,)."""
        return float(pq_of_counts(self.totals(choice)))

    def qualities(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return PQ (S,) of samples that have image n ``weights[s, n]`` times."""
        return pq_of_counts(self.weighted_totals(choice, weights))

    def _at(self, choice: np.ndarray) -> np.ndarray:
        return self.values[np.arange(len(self.images)), choice[self.images]]


def pq_of_counts(totals: np.ndarray) -> np.ndarray:
    """Return PQ in 0..1, the mean over the classes that occur in counts (..., C, 4), or NaN."""
    pq = quality_of_classes(totals.reshape(-1, len(COUNTS)))["pq"].reshape(totals.shape[:-1])
    return _mean_of_known(pq, axis=-1)


@dataclass(frozen=True)
class BoxMatches:
    """AP's matches: the true boxes of N images, and their G and D detections at all exits.

    Args:
        truth_images: (G,) number of the image of each true box, from 0; crowds are left out.
        truth_labels: (G,) its class.
        images: (D,) number of the image of each detection, ascending.
        exits: (D,) index of its exit.
        labels: (D,) its class.
        scores: (D,) its score.
        matched: (D,) bit t is set where it has a partner at ``IOUS[t]``.
        ignored: (D,) bit t is set where that partner is a crowd.
        num_images: N.
        num_classes: C.
        ious: Indices into ``IOUS`` over which AP is the mean.
    """

    truth_images: np.ndarray
    truth_labels: np.ndarray
    images: np.ndarray
    exits: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    num_images: int
    num_classes: int
    ious: Sequence[int] = range(len(IOUS))

    def take(self, indices: np.ndarray) -> BoxMatches:
        """Return the matches of some images, each at most once, numbered in that order."""
        numbers = _new_numbers(indices, self.num_images)
        truths = np.flatnonzero(numbers[self.truth_images] >= 0)
        kept = np.flatnonzero(numbers[self.images] >= 0)
        kept = kept[np.argsort(numbers[self.images[kept]], kind="stable")]
        return replace(
            self,
            truth_images=numbers[self.truth_images[truths]],
            truth_labels=self.truth_labels[truths],
            images=numbers[self.images[kept]],
            exits=self.exits[kept],
            labels=self.labels[kept],
            scores=self.scores[kept],
            matched=self.matched[kept],
            ignored=self.ignored[kept],
            num_images=len(indices),
        )

    def quality(self, choice: np.ndarray) -> float:
        """Return AP in 0..1 of all images for exits ``choice`` (N,); NaN without a true box."""
        return float(self.qualities(choice, np.ones((1, self.num_images)))[0])

    def qualities(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return AP (S,) of samples that have image n ``weights[s, n]`` times."""
        chosen = np.flatnonzero(self.exits == choice[self.images])
        # Stable as COCO's sort: among equal scores the detection of the earlier image comes first.
        chosen = chosen[np.lexsort((-self.scores[chosen], self.labels[chosen]))]
        ends = np.searchsorted(self.labels[chosen], np.arange(self.num_classes + 1))
        truths = self._num_truths(weights)
        precisions = [
            self._class_precision(chosen[ends[label] : ends[label + 1]], truths[label], weights)
            for label in np.unique(self.truth_labels)
        ]
        if not precisions:
            return np.full(len(weights), np.nan)
        return _mean_of_known(np.array(precisions), axis=0)

    def _num_truths(self, weights: np.ndarray) -> np.ndarray:
        """Return the number of true boxes of each class in each sample, (C, S)."""
        of_images = np.zeros((self.num_classes, self.num_images))
        np.add.at(of_images, (self.truth_labels, self.truth_images), 1)
        return of_images @ weights.T

    def _class_precision(
        self, detections: np.ndarray, truths: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Return AP of one class, (S,); NaN where a sample has no true box of the class.

        Args:
            detections: Indices of the class's detections, by falling score.
            truths: (S,) number of true boxes.
            weights: (S, N) as for :meth:`qualities`.
        """
        seen = weights[:, self.images[detections]]
        counted = np.cumsum(seen, axis=1)
        total = np.zeros(len(weights))
        for iou in self.ious:
            crowds = self.ignored[detections] >> iou & 1 == 1
            places = np.flatnonzero(~crowds & (self.matched[detections] >> iou & 1 == 1))
            among = np.cumsum(np.where(crowds, 0, seen), axis=1) if crowds.any() else counted
            total += _mean_precision(np.cumsum(seen[:, places], axis=1), among[:, places], truths)
        return np.where(truths > 0, total / len(self.ious), np.nan)


def _mean_precision(found: np.ndarray, among: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Return the mean of COCO's interpolated precision over ``RECALLS``, (S,).

    Precision only falls between two matched detections, so the M matched ones are enough.

    Args:
        found: (S, M) number of matched detections up to each of them.
        among: (S, M) number of all detections up to there.
        truths: (S,) number of true boxes.
    """
    precision = found / np.maximum(among, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, found / np.maximum(truths, 1)[:, None], side="right")
    steps = np.diff(reached, axis=1, prepend=0)
    return (best * steps).sum(1) / len(RECALLS)


def _mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of the values that are not NaN; NaN if all values are."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis)
    return total / np.where(known.any(axis), known.sum(axis), np.nan)


def _new_numbers(indices: np.ndarray, num_images: int) -> np.ndarray:
    """Return each image's position in ``indices``, (N,); -1 for images that are left out."""
    numbers = np.full(num_images, -1)
    numbers[indices] = np.arange(len(indices))
    return numbers
