"""What one image adds to the figures: its ground truth against the prediction, in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.instance_quality import encode_segments
from mmproscale.evaluation.instance_truth import InstanceGroundTruth
from mmproscale.evaluation.panoptic_quality import Pairs, Segments, match_segments
from mmproscale.evaluation.pixel_pairs import count_pairs
from mmproscale.evaluation.semantic_quality import class_areas

KINDS = ("panoptic", "semantic", "instance")


@dataclass(frozen=True)
class LabelledMap:
    """A predicted map of values, and what they mean.

    Args:
        values: (H, W) integers, as ``count_pairs`` takes them.
        labels_of: From the distinct values that occur to their classes, -1 for void.
    """

    values: np.ndarray
    labels_of: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ImagePrediction:
    """What a model says of one image; parts that are not asked for may be None.

    Args:
        shape: (H, W).
        panoptic: Each value of the map is a segment.
        semantic: Each value of the map is a class, or belongs to one.
        detections: As ``encode_detections`` gives them.
    """

    shape: tuple[int, ...]
    panoptic: LabelledMap | None = None
    semantic: LabelledMap | None = None
    detections: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ImageScore:
    """What one image adds.

    Attributes:
        image_id: As in the ground truth.
        shape: (H, W).
        counts: ``panoptic`` (C, 4) and ``semantic`` (C, 3), those that are asked for.
        truths: COCO instances of the ground truth, if AP is asked for.
        detections: COCO detections, likewise.
    """

    image_id: Any
    shape: tuple[int, ...]
    counts: dict[str, np.ndarray]
    truths: list[dict[str, Any]] = field(default_factory=list)
    detections: list[dict[str, Any]] = field(default_factory=list)


class ImageScorer:
    """Compares predictions with a ground truth.

    Args:
        truth: The panoptic ground truth.
        kinds: Some of ``KINDS``.
        instances: Ground truth of AP; by default the things of the panoptic one.

    Raises:
        InputError: Another kind, or none.
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
        self.things = truth.categories[: truth.num_things]

    def score(self, image_id: Any, prediction: ImagePrediction) -> ImageScore:
        """Compare one image.

        Raises:
            InputError: The ground truth lacks the image, or has it in another size; the
                prediction's values don't mean classes.
        """
        self.truth.check_image(image_id, prediction.shape)
        if self.kinds == ("instance",) and self.instances:
            truths, counts = self._truths(image_id), {}
            return ImageScore(image_id, prediction.shape, counts, truths, prediction.detections)
        id_map, segments = self.truth.read(image_id, prediction.shape)
        counts = self._counts(id_map, segments, prediction)
        truths = self._truths(image_id, id_map, segments) if "instance" in self.kinds else []
        return ImageScore(image_id, prediction.shape, counts, truths, prediction.detections)

    def _counts(
        self, id_map: np.ndarray, segments: Segments, prediction: ImagePrediction
    ) -> dict[str, np.ndarray]:
        counts: dict[str, np.ndarray] = {}
        pairs = None
        if "panoptic" in self.kinds:
            pairs = count_pairs(id_map, prediction.panoptic.values)
            predicted = predicted_segments(prediction.panoptic, pairs)
            counts["panoptic"] = match_segments(segments, predicted, pairs, self.num_classes)
        if "semantic" in self.kinds:
            if pairs is None or prediction.semantic is not prediction.panoptic:
                pairs = count_pairs(id_map, prediction.semantic.values)
            values, places = np.unique(pairs[1], return_inverse=True)
            labels = prediction.semantic.labels_of(values)[places]
            counts["semantic"] = class_areas(segments, pairs[0], labels, pairs[2], self.num_classes)
        return counts

    def _truths(
        self, image_id: Any, id_map: np.ndarray | None = None, segments: Segments | None = None
    ) -> list[dict[str, Any]]:
        if self.instances:
            return self.instances.of_image(image_id)
        return encode_segments(id_map, segments, self.things)


def predicted_segments(prediction: LabelledMap, pairs: Pairs) -> Segments:
    """The segments of a predicted map, void left out.

    Args:
        prediction: The map.
        pairs: What ``count_pairs`` says of the ground truth's id map and of it.
    """
    values, places = np.unique(pairs[1], return_inverse=True)
    labels = prediction.labels_of(values)
    areas = np.bincount(places, pairs[2], len(values)).astype(np.int64)
    real = labels >= 0
    return Segments(values[real], labels[real], areas[real], np.zeros(real.sum(), bool))
