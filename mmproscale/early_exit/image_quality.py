"""How good a model's result for one image is, by name: what step B records at every exit."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.datasets import CocoPanopticDataset

from mmproscale.early_exit.class_counts import dataset_quality
from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import ImageScorer
from mmproscale.evaluation.sample_prediction import prediction_of


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


QUALITIES = {"pq": PanopticImageQuality}
"""By the name that a derived file has. Another takes the dataset and has the same attributes; one
without counts by class has no categories and returns counts (0, 4)."""
