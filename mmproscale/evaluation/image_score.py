"""One image's contribution to the figures: its prediction compared with its ground truth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmproscale.errors import InputError
from mmproscale.evaluation.average_precision import ImageInstances, encode_segments
from mmproscale.evaluation.ground_truth import InstanceGroundTruth, PanopticGroundTruth
from mmproscale.evaluation.mean_iou import class_areas
from mmproscale.evaluation.panoptic_quality import Pairs, Segments, count_pairs, match_segments

KINDS = ("panoptic", "semantic", "instance")


@dataclass(frozen=True)
class LabelledMap:
    """A predicted map of values, and the classes of these values.

    Args:
        values: (H, W) integers, as ``count_pairs`` takes them.
        labels_of: Function from distinct values to their classes, -1 for void.
    """

    values: np.ndarray
    labels_of: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ImagePrediction:
    """A model's prediction for one image, with the parts that are scored.

    Args:
        shape: (H, W).
        maps: ``panoptic``, where each value is a segment, and ``semantic``, where each value is a
            class or a segment of one.
        detections: As ``encode_detections`` returns them.
    """

    shape: tuple[int, ...]
    maps: Mapping[str, LabelledMap]
    detections: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ImageScore:
    """Counts and instances of one image.

    Attributes:
        image_id: As in the ground truth.
        counts: ``panoptic`` (C, 4) and ``semantic`` (C, 3), those of the scored kinds.
        instances: Both sides for AP; empty where AP is not scored.
    """

    image_id: Any
    counts: dict[str, np.ndarray]
    instances: ImageInstances = field(default_factory=ImageInstances)


class ImageScorer:
    """Comparison of predictions with a ground truth.

    Args:
        truth: The panoptic ground truth.
        kinds: Some of ``KINDS``.
        instances: Ground truth of AP; by default the things of the panoptic one.

    Raises:
        InputError: A kind is unknown, or there is none.
    """

    def __init__(
        self,
        truth: PanopticGroundTruth,
        kinds: Sequence[str],
        instances: InstanceGroundTruth | None = None,
    ) -> None:
        unknown = [name for name in kinds if name not in KINDS]
        if unknown or not kinds or isinstance(kinds, str):
            raise InputError(f"kinds={kinds!r}: expected a list of some of {', '.join(KINDS)}")
        self.truth, self.kinds, self.instances = truth, tuple(kinds), instances
        self.num_classes = len(truth.categories)

    def score(self, image_id: Any, prediction: ImagePrediction) -> ImageScore:
        """Compare one image.

        Raises:
            InputError: The ground truth lacks the image, or has it in another size; a value of
                the prediction is not a class.
        """
        self.truth.check_image(image_id, prediction.shape)
        counts: dict[str, np.ndarray] = {}
        truths: list[dict[str, Any]] = []
        if self.kinds != ("instance",) or not self.instances:
            id_map, segments = self.truth.read(image_id, prediction.shape)
            counts = self._counts(id_map, segments, prediction.maps)
            if "instance" in self.kinds and not self.instances:
                truths = encode_segments(id_map, segments, self.truth.things)
        if "instance" in self.kinds and self.instances:
            truths = self.instances.of_image(image_id)
        instances = ImageInstances(prediction.shape, truths, prediction.detections)
        return ImageScore(image_id, counts, instances)

    def _counts(
        self, id_map: np.ndarray, segments: Segments, maps: Mapping[str, LabelledMap]
    ) -> dict[str, np.ndarray]:
        counts: dict[str, np.ndarray] = {}
        if "panoptic" in self.kinds:
            pairs = count_pairs(id_map, maps["panoptic"].values)
            predicted = predicted_segments(maps["panoptic"], pairs)
            counts["panoptic"] = match_segments(segments, predicted, pairs, self.num_classes)
        if "semantic" in self.kinds:
            true_ids, predicted_ids, pixels = count_pairs(id_map, maps["semantic"].values)
            values, places = np.unique(predicted_ids, return_inverse=True)
            labels = maps["semantic"].labels_of(values)[places]
            counts["semantic"] = class_areas(segments, true_ids, labels, pixels, self.num_classes)
        return counts


def predicted_segments(prediction: LabelledMap, pairs: Pairs) -> Segments:
    """Return the segments of a predicted map, without void.

    Args:
        prediction: The map.
        pairs: Result of ``count_pairs`` for the ground truth's id map and this map.
    """
    values, places = np.unique(pairs[1], return_inverse=True)
    labels = prediction.labels_of(values)
    areas = np.bincount(places, pairs[2], len(values)).astype(np.int64)
    real = labels >= 0
    return Segments(values[real], labels[real], areas[real], np.zeros(real.sum(), bool))
