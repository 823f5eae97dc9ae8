"""One image of an evaluation: its ground truth, and the predictions of one or two models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.panoptic_quality import (
    Segments,
    count_pairs,
    image_quality,
    match_segments,
)
from mmproscale.evaluation.segment_outcomes import Outcome, segment_outcomes
from mmproscale.evaluation.stored_predictions import PanopticResults
from mmproscale.inference.image_sources import InputImage
from mmproscale.inference.predictor import Predictor


@dataclass(frozen=True)
class ComparedPrediction:
    """A model's prediction for one image, compared with the ground truth.

    Attributes:
        id_map: (H, W) int32.
        segments: Its segments.
        true: Outcomes of the true segments.
        predicted: Outcomes of the predicted segments.
        scores: Scores of the predicted segments; None where the file has none.
        counts: (C, 4), as ``match_segments``.
        pq: PQ of the image in 0..1; NaN without any segment.
    """

    id_map: np.ndarray
    segments: Segments
    true: Sequence[Outcome]
    predicted: Sequence[Outcome]
    scores: Sequence[float | None]
    counts: np.ndarray
    pq: float


@dataclass(frozen=True)
class ComparedImage:
    """An image with its ground truth and predictions.

    Attributes:
        name: Name of its file.
        photo: Its file.
        id_map: Ground truth, (H, W) int32.
        segments: Its segments.
        predictions: One for each model.
    """

    name: str
    photo: Path
    id_map: np.ndarray
    segments: Segments
    predictions: Sequence[ComparedPrediction]


Prediction = tuple[np.ndarray, Segments, Sequence[float | None]]
"""Id map (H, W), segments, and their scores."""
Source = Callable[[Any, Path], Prediction]
"""Function from an image's id and its photograph to a model's prediction."""


def compared_images(
    truth: PanopticGroundTruth,
    sources: Sequence[Source],
    images: str | Path,
    most: int | None = None,
) -> Iterator[ComparedImage]:
    """Yield the images of the ground truth.

    Args:
        truth: The ground truth.
        sources: Predictions of one or two models.
        images: Folder of the photographs.
        most: Number of images, spread evenly over all; None for all.

    Raises:
        InputError: A photograph is missing; a file has a fault; a prediction has another size.
    """
    ids = list(truth.annotations)
    count = min(most or len(ids), len(ids))
    ids = [ids[place * len(ids) // count] for place in range(count)]
    photos = {i: Path(images) / truth.images[i]["file_name"] for i in ids}
    missing = [photo for photo in photos.values() if not photo.is_file()]
    if missing:
        raise InputError(
            f"{missing[0]} is missing ({len(missing)} of {len(photos)} photographs): name their "
            "folder by --images"
        )
    for image_id, photo in photos.items():
        id_map, segments = truth.read(image_id, truth.shape_of(image_id))
        found = []
        for source in sources:
            prediction = source(image_id, photo)
            truth.check_image(image_id, prediction[0].shape)
            found.append(compare(id_map, segments, prediction, truth.categories))
        yield ComparedImage(photo.name, photo, id_map, segments, found)


def compare(
    id_map: np.ndarray,
    segments: Segments,
    prediction: Prediction,
    categories: Sequence[dict[str, Any]],
) -> ComparedPrediction:
    """Compare a prediction with an image's ground truth."""
    predicted_map, predicted, scores = prediction
    pairs = count_pairs(id_map, predicted_map)
    outcomes = segment_outcomes(segments, predicted, pairs)
    counts = match_segments(segments, predicted, pairs, len(categories))
    pq = image_quality(counts, categories)["pq"]
    return ComparedPrediction(predicted_map, predicted, *outcomes, scores, counts, pq)


def from_files(results: PanopticResults) -> Source:
    """Return the predictions of files."""

    def read(image_id: Any, photo: Path) -> Prediction:
        results.count(image_id)  # checks the files
        return results.read_segments(image_id)

    return read


def from_model(model: Predictor, truth: PanopticGroundTruth) -> Source:
    """Return the predictions of a model, whose classes are found by their names.

    Raises:
        InputError: The ground truth lacks a class of the model.
    """
    label_of = {category["name"]: label for label, category in enumerate(truth.categories)}
    unknown = [name for name in model.classes if name not in label_of]
    if unknown:
        raise InputError(
            f"{truth.ann_file} has no class '{unknown[0]}' ({len(unknown)} of the model's "
            f"{len(model.classes)} are missing): give the ground truth of the model's classes"
        )

    def predict(image_id: Any, photo: Path) -> Prediction:
        (result,) = model.predict([InputImage(photo.stem, photo)])
        assert result.panoptic is not None and result.segments is not None
        found = [(s.id, label_of[s.name], s.score) for s in result.segments]
        values, pixels = np.unique(result.panoptic, return_counts=True)
        area_of = dict(zip(values.tolist(), pixels.tolist(), strict=True))
        ids, labels = (np.array([one[k] for one in found], np.int64) for k in (0, 1))
        areas = np.array([area_of[number] for number, *_ in found], np.int64)
        segments = Segments(ids, labels, areas, np.zeros(len(ids), bool))
        return result.panoptic, segments, [score for *_, score in found]

    return predict
