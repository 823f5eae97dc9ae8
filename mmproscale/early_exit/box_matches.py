"""COCO's AP of boxes for any choice of exits, exactly, from detections that were matched once.

What a detection is matched to depends on its own image alone; AP then sorts the detections of all
images by score, class by class. So with scores and matches kept, AP of a dataset follows for every
way to choose exits, without an image, and that of one image by itself in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class BoxMatches:
    """The boxes of N images, of the truth and at E exits.

    Args:
        truth_images: (G,) of each box of the truth, crowds left out, its image as a number from 0.
        truth_labels: (G,) its class.
        images: (D,) of each detection its image; ascending.
        exits: (D,) its exit, as a place among the exits.
        labels: (D,) its class.
        scores: (D,).
        matched: (D,) bit t is set where it has a partner at ``IOUS[t]``.
        ignored: (D,) bit t is set where that is a crowd.
        num_images: N.
        num_classes: C.
        ious: Places in ``IOUS`` of those over which AP is the mean.
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
        """Those of some images, each at most once; they are numbered afresh in that order."""
        place = np.full(self.num_images, -1)
        place[indices] = np.arange(len(indices))
        truths = np.flatnonzero(place[self.truth_images] >= 0)
        kept = np.flatnonzero(place[self.images] >= 0)
        kept = kept[np.argsort(place[self.images[kept]], kind="stable")]
        return replace(
            self,
            truth_images=place[self.truth_images[truths]],
            truth_labels=self.truth_labels[truths],
            images=place[self.images[kept]],
            **{
                name: getattr(self, name)[kept]
                for name in ("exits", "labels", "scores", "matched", "ignored")
            },
            num_images=len(indices),
        )

    def quality(self, choice: np.ndarray) -> float:
        """AP in 0..1 of all images, each at its place in the exits, ``choice`` (N,).

        NaN where the truth has no box.
        """
        return float(self.qualities(choice, np.ones((1, self.num_images)))[0])

    def qualities(self, choice: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """AP in 0..1, (S,), where sample s has image n ``weights[s, n]`` times."""
        chosen = np.flatnonzero(self.exits == choice[self.images])
        # Stable, as COCO's: of equal scores the one of the earlier image comes first.
        chosen = chosen[np.lexsort((-self.scores[chosen], self.labels[chosen]))]
        ends = np.searchsorted(self.labels[chosen], np.arange(self.num_classes + 1))
        truths = self._truths(weights)
        of_classes = [
            self._class_precision(chosen[ends[label] : ends[label + 1]], truths[label], weights)
            for label in np.unique(self.truth_labels)
        ]
        if not of_classes:
            return np.full(len(weights), np.nan)
        known = ~np.isnan(of_classes)
        total = np.where(known, of_classes, 0).sum(0)
        return total / np.where(known.any(0), known.sum(0), np.nan)

    def _truths(self, weights: np.ndarray) -> np.ndarray:
        """Boxes of the truth by class, (C, S)."""
        of_images = np.zeros((self.num_classes, self.num_images))
        np.add.at(of_images, (self.truth_labels, self.truth_images), 1)
        return of_images @ weights.T

    def _class_precision(
        self, detections: np.ndarray, truths: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """AP of one class, (S,), by its detections from the surest; NaN where it has no truth."""
        seen = weights[:, self.images[detections]]
        counted = np.cumsum(seen, axis=1)
        total = np.zeros(len(weights))
        for iou in self.ious:
            crowds = self.ignored[detections] >> iou & 1 == 1
            places = np.flatnonzero(~crowds & (self.matched[detections] >> iou & 1 == 1))
            among = np.cumsum(np.where(crowds, 0, seen), axis=1) if crowds.any() else counted
            total += _area(np.cumsum(seen[:, places], axis=1), among[:, places], truths)
        return np.where(truths > 0, total / len(self.ious), np.nan)


def _area(found: np.ndarray, among: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Mean of COCO's interpolated precision over ``RECALLS``, (S,).

    Between matched detections precision only falls, so that they say all.

    Args:
        found: (S, M) how many are matched, up to each matched detection.
        among: (S, M) of how many detections.
        truths: (S,) how many there are to be found.
    """
    precision = found / np.maximum(among, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, found / np.maximum(truths, 1)[:, None], side="right")
    steps = np.diff(reached, axis=1, prepend=0)
    return (best * steps).sum(1) / len(RECALLS)
