"""PQ's counts of many images at every exit, and what they add up to for any choice of exits.

The mean of the images' own PQ is not a dataset's PQ, which divides sums over images class by class.
With the counts kept, PQ of a dataset is exact for every way to choose exits, without an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mmproscale.evaluation.panoptic_quality import COUNTS, quality_of_classes


@dataclass(frozen=True)
class ClassCounts:
    """One row for each class that occurs in an image, on either side and at any exit.

    Args:
        images: (R,) which image, as a number from 0.
        labels: (R,) which class.
        values: (R, E, 4) int64, at each exit what ``match_segments`` counts.
        num_images: N.
        num_classes: C.
    """

    images: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    num_images: int
    num_classes: int

    def take(self, indices: np.ndarray) -> ClassCounts:
        """Those of some images, each at most once; they are numbered afresh in that order."""
        place = np.full(self.num_images, -1)
        place[indices] = np.arange(len(indices))
        kept = place[self.images] >= 0
        return ClassCounts(
            images=place[self.images[kept]],
            labels=self.labels[kept],
            values=self.values[kept],
            num_images=len(indices),
            num_classes=self.num_classes,
        )

    def totals(self, choice: np.ndarray) -> np.ndarray:
        """Counts (C, 4) int64 of all images, each at its place in the exits, ``choice`` (N,)."""
        totals = np.zeros((self.num_classes, len(COUNTS)), np.int64)
        np.add.at(totals, self.labels, self._at(choice))
        return totals

    def weighted_totals(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Counts (S, C, 4), as floats, where sample s has image n ``weights[s, n]`` times."""
        values = self._at(choice)
        columns = self.labels[:, None] * len(COUNTS) + np.arange(len(COUNTS))
        rows = np.broadcast_to(self.images[:, None], columns.shape)
        shape = (self.num_images, self.num_classes * len(COUNTS))
        matrix = sparse.csr_array(
            (values.ravel().astype(float), (rows.ravel(), columns.ravel())), shape
        )
        return (weights @ matrix).reshape(len(weights), self.num_classes, len(COUNTS))

    def quality(self, choice: np.ndarray) -> float:
        """PQ in 0..1 of all images, each at its place in the exits, ``choice`` (N,)."""
        return float(dataset_quality(self.totals(choice)))

    def qualities(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The same, (S,), where sample s has image n ``weights[s, n]`` times."""
        return dataset_quality(self.weighted_totals(choice, weights))

    def _at(self, choice: np.ndarray) -> np.ndarray:
        return self.values[np.arange(len(self.images)), choice[self.images]]


def dataset_quality(totals: np.ndarray) -> np.ndarray:
    """PQ in 0..1 of counts (..., C, 4): the mean over classes that occur; NaN where none does."""
    pq = quality_of_classes(totals.reshape(-1, len(COUNTS)))["pq"].reshape(totals.shape[:-1])
    known = ~np.isnan(pq)
    return np.where(known, pq, 0).sum(-1) / np.where(known.any(-1), known.sum(-1), np.nan)
