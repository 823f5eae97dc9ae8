"""Figures of evaluations: from compared images, and from the files that tests write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmproscale.checkpoints.publication import stated_figures
from mmproscale.cost.cost_report import own_size
from mmproscale.cost.model_cost import build_network, model_cost
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.errors import InputError
from mmproscale.evaluation.average_precision import (
    ImageInstances,
    encode_segments,
    errors_by_kind,
)
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.panoptic_quality import Segments, panoptic_quality
from mmproscale.evaluation.segment_outcomes import confusion_matrix, quality_by_size
from mmproscale.inference.pictures.comparison import stacked
from mmproscale.inference.pictures.panoptic_picture import panoptic_picture
from mmproscale.reports import plots
from mmproscale.reports.compared_image import ComparedImage, ComparedPrediction
from mmproscale.reports.evaluation_options import Evaluation
from mmproscale.utils.atomic_files import atomic_path
from mmproscale.utils.config import load_config


def confusion_figure(evaluation: Evaluation, path: Path, most: int) -> Path:
    """Draw the confusion matrix of the first model."""
    outcomes = [(one.true, one.predicted) for one in _predictions(evaluation, most)]
    categories = evaluation.truth.categories
    return plots.draw_confusion(path, confusion_matrix(outcomes, len(categories)), categories)


def classes_figure(evaluation: Evaluation, path: Path, most: int) -> Path:
    """Draw PQ of each class, and of things by size, of the first model."""
    predictions = _predictions(evaluation, most)
    categories = evaluation.truth.categories
    counts = np.sum([one.counts for one in predictions], axis=0)
    outcomes = [(one.true, one.predicted) for one in predictions]
    things = [label for label, category in enumerate(categories) if category["isthing"]]
    sizes = quality_by_size(outcomes, things)
    return plots.draw_classes(path, panoptic_quality(counts, categories), sizes, categories)


def errors_figure(evaluation: Evaluation, path: Path, most: int) -> Path:
    """Draw what each kind of error costs in AP, for each model.

    Raises:
        InputError: The data have no things.
    """
    truth = evaluation.truth
    if not truth.things:
        raise InputError(f"{truth.ann_file} has no things, so there is no AP")
    images = _some(evaluation, most)
    models = {
        name: errors_by_kind([_instances(image, model, truth) for image in images], truth.things)
        for model, name in enumerate(evaluation.models)
    }
    return plots.draw_errors(path, models)


def masks_figure(evaluation: Evaluation, path: Path, most: int) -> Path:
    """Draw predictions next to the ground truth, a row an image (PRO-SCALE, Figure 9)."""
    categories = evaluation.truth.categories
    rows = [_row(image, evaluation.models, categories) for image in _some(evaluation, min(most, 6))]
    with atomic_path(path) as temporary:
        Image.fromarray(stacked(rows)).save(temporary, plots.form_of(path))
    return path


def _some(evaluation: Evaluation, most: int) -> list[ComparedImage]:
    return list(evaluation.compared_images(most))


def _predictions(evaluation: Evaluation, most: int) -> list[ComparedPrediction]:
    return [image.predictions[0] for image in _some(evaluation, most)]


def _instances(image: ComparedImage, model: int, truth: PanopticGroundTruth) -> ImageInstances:
    """Return the things of both sides; a prediction without scores has 1."""
    prediction = image.predictions[model]
    scores = [
        score
        for score, label in zip(prediction.scores, prediction.segments.labels, strict=True)
        if label < len(truth.things)
    ]
    found = encode_segments(prediction.id_map, prediction.segments, truth.things)
    detections = [
        one | {"score": 1.0 if score is None else score}
        for one, score in zip(found, scores, strict=True)
    ]
    truths = encode_segments(image.id_map, image.segments, truth.things)
    return ImageInstances(image.id_map.shape, truths, detections)


def _row(
    image: ComparedImage, models: Sequence[str], categories: Sequence[dict[str, Any]]
) -> np.ndarray:
    """Draw one image with the predictions of all models and the ground truth."""
    with Image.open(image.photo) as photo:
        rgb = np.asarray(photo.convert("RGB"))
    sides = [(one.id_map, one.segments) for one in image.predictions]
    sides.append((image.id_map, image.segments))
    panels = [
        (title, id_map, _coco_segments(segments, categories))
        for title, (id_map, segments) in zip([*models, "ground truth"], sides, strict=True)
    ]
    return panoptic_picture(rgb, panels, categories, short_side=300)


def _coco_segments(
    segments: Segments, categories: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    pairs = zip(segments.ids.tolist(), segments.labels.tolist(), strict=True)
    return [{"id": number, "category_id": categories[label]["id"]} for number, label in pairs]


@dataclass(frozen=True)
class TestedModel:
    """Quality and cost of a model that was tested.

    Args:
        name: Name of its config.
        quality: Name of its first figure: PQ, mIoU or AP.
        percent: The figure.
        gmacs: Cost of one image, in 10^9 multiply-accumulates.
    """

    name: str
    quality: str
    percent: float
    gmacs: float


def read_tested_model(file: Path) -> TestedModel:
    """Read the figures of ``metrics.json`` and the config next to it.

    Raises:
        InputError: The file is not a test's, or no config is next to it.
    """
    report = read_json(file, "the file's name")
    if not isinstance(report, dict):
        raise InputError(f"{file} is not a metrics.json of tools/test.py")
    configs = sorted(file.parent.glob("*.py"))
    if len(configs) != 1:
        raise InputError(f"{file.parent} has {len(configs)} configs (*.py): leave only the test's")
    config = load_config(configs[0])
    _, quality, percent = stated_figures(report, file)[0]
    cost = model_cost(build_network(config), own_size(config))
    return TestedModel(configs[0].stem, quality, percent, cost.total / 1e9)
