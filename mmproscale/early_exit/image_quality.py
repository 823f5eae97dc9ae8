"""How good a model's result for one image is, by name: what step B records at every exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from mmdet.datasets import CocoPanopticDataset

from mmproscale.early_exit.box_quality import BoxImageQuality
from mmproscale.early_exit.class_counts import dataset_quality
from mmproscale.early_exit.derived_file import BOX_IOUS
from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import ImageScorer
from mmproscale.evaluation.model_predictions import prediction_of


class ImageQuality(Protocol):
    """What judges one image's result.

    Attributes:
        kind: Which of a segmentor's results is looked at; None of a detector.
        categories: In the order of labels; none for a quality from which no dataset's follows.
    """

    kind: str | None
    categories: tuple[dict[str, Any], ...]

    def measure(self, sample: dict[str, Any]) -> tuple[float, Any]:
        """Quality in 0..1 of a prediction, NaN where there is none, and what is kept of it."""

    def columns(self, measured: Sequence[Any]) -> dict[str, Any]:
        """An image's part of the derived file, of what was kept at each exit."""


class PanopticImageQuality:
    """PQ of an image by itself, and the counts from which PQ of any set of images follows.

    Args:
        dataset: The images' dataset, built.

    Attributes:
        categories: In the order of labels.

    Raises:
        InputError: A dataset that is not panoptic, or whose files are not what they should be.
    """

    kind = "panoptic"
    """Which of the model's results is looked at."""

    def __init__(self, dataset: CocoPanopticDataset) -> None:
        if not isinstance(dataset, CocoPanopticDataset):
            raise InputError(
                f"quality pq needs panoptic images to train on, and the config has "
                f"{type(dataset).__name__}"
            )
        truth = PanopticGroundTruth(dataset.ann_file, dataset.data_prefix.get("seg"))
        self._scorer = ImageScorer(truth, [self.kind])
        names = ("id", "name", "isthing")
        self.categories = tuple({key: c[key] for key in names} for c in truth.categories)

    def measure(self, sample: dict[str, Any]) -> tuple[float, np.ndarray]:
        """Quality in 0..1, NaN where nothing was to be found or found, and counts (C, 4).

        Args:
            sample: A model's prediction as a dict, at the image's own size.

        Raises:
            InputError: The ground truth lacks the image, or has it in another size.
        """
        score = self._scorer.score(sample["img_id"], prediction_of(sample, self._scorer))
        counts = score.counts[self.kind]
        return float(dataset_quality(counts)), counts

    def columns(self, measured: Sequence[np.ndarray]) -> dict[str, Any]:
        """The classes that occur at any exit, and their counts, class by class."""
        counts = np.stack(measured)
        occurring = np.flatnonzero(counts[..., 1:].any(axis=(0, 2)))
        return dict(labels=occurring, counts=counts[:, occurring].transpose(1, 0, 2).ravel())


QUALITIES: dict[str, Callable[..., ImageQuality]] = {
    "pq": PanopticImageQuality,
    **{name: partial(BoxImageQuality, ious=ious) for name, ious in BOX_IOUS.items()},
}
"""By the name that a derived file has: PQ of segments, AP of boxes over COCO's ten IoUs, at 0.5."""


def usual_quality(is_detector: bool) -> str:
    """The name of what is measured unless another is asked for."""
    return "ap" if is_detector else "pq"
