"""Report of an evaluation as one HTML file, which needs no network and no other file."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, select_autoescape
from PIL import Image

from mmproscale.datasets.formats.colors import class_colors
from mmproscale.evaluation.panoptic_quality import panoptic_quality
from mmproscale.evaluation.segment_outcomes import (
    LOST,
    Outcome,
    confusion_matrix,
    quality_by_size,
)
from mmproscale.reports.compared_image import ComparedImage, ComparedPrediction
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.integer_maps import distinct
from mmproscale.version import __version__

TEMPLATES = Path(__file__).parent / "templates"
LONG_SIDE = 640
"""Pixels of the longer side of each image in a report."""

Outcomes = list[tuple[Sequence[Outcome], Sequence[Outcome]]]


class HTMLReport:
    """Report that is filled image by image, so that only the encoded images are in memory.

    Args:
        title: What was evaluated.
        models: Names of one or two models.
        categories: In the order of labels.
    """

    def __init__(
        self, title: str, models: Sequence[str], categories: Sequence[Mapping[str, Any]]
    ) -> None:
        self.title, self.models, self.categories = title, list(models), [*map(dict, categories)]
        self._images: list[dict[str, Any]] = []
        self._outcomes: list[Outcomes] = [[] for _ in models]
        self._counts = np.zeros((len(models), len(self.categories), 4), np.int64)

    def add(self, image: ComparedImage) -> None:
        """Add an image, with a prediction of each model."""
        for model, prediction in enumerate(image.predictions):
            self._outcomes[model].append((prediction.true, prediction.predicted))
            self._counts[model] += prediction.counts
        self._images.append(encoded(image))

    def write(self, file: str | Path) -> None:
        """Write the HTML file."""
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(default=True)
        )
        data = json.dumps(self.data(), separators=(",", ":"), allow_nan=False)
        text = environment.get_template("report.html").render(
            title=self.title,
            version=__version__,
            data=data.replace("</", "<\\/"),  # a name must not end the script
            script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
            style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        )
        atomic_write_text(file, text)

    def data(self) -> dict[str, Any]:
        """Return all that the page shows, ready for JSON; figures are in percent."""
        colors = class_colors(self.categories)
        return {
            "classes": [
                {
                    "name": category["name"],
                    "isthing": bool(category["isthing"]),
                    "color": colors[category["id"]],
                }
                for category in self.categories
            ],
            "lost": list(LOST),
            "models": [self._model(index) for index in range(len(self.models))],
            "images": self._images,
        }

    def _model(self, index: int) -> dict[str, Any]:
        quality = panoptic_quality(self._counts[index], self.categories)
        outcomes = self._outcomes[index]
        things = [label for label, c in enumerate(self.categories) if c["isthing"]]
        return {
            "name": self.models[index],
            "groups": {name: _percent(quality[name]) for name in ("all", "things", "stuff")},
            "classes": [
                _percent(quality["per_class"][str(category["id"])], keep=("tp", "fp", "fn"))
                for category in self.categories
            ],
            "sizes": _percent(quality_by_size(outcomes, things)),
            "confusion": confusion_matrix(outcomes, len(self.categories)).tolist(),
        }


def write_report(
    file: str | Path,
    title: str,
    models: Sequence[str],
    categories: Sequence[Mapping[str, Any]],
    images: Iterable[ComparedImage],
) -> None:
    """Write a report of images to an HTML file."""
    report = HTMLReport(title, models, categories)
    for image in images:
        report.add(image)
    report.write(file)


def _percent(figures: Mapping[str, Any], keep: Sequence[str] = ()) -> dict[str, Any]:
    """Return figures of 0..1 in percent, None for NaN; counts are kept."""
    found: dict[str, Any] = {key: figures[key] for key in keep}
    for key, value in figures.items():
        if isinstance(value, float) and key != "iou":
            found[key] = None if math.isnan(value) else round(100 * value, 2)
    return found


def encoded(image: ComparedImage) -> dict[str, Any]:
    """Return an image with its maps as data URIs, all of the same size."""
    with Image.open(image.photo) as photo:
        picture = photo.convert("RGB")
    height, width = image.id_map.shape
    factor = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    first = image.predictions[0]
    return {
        "name": image.name,
        "size": size,
        "photo": _data_uri(picture.resize(size), "webp", quality=75),
        "truth": {"map": _map_uri(image.id_map, [one.id for one in first.true], size)},
        "predictions": [_prediction(one, size) for one in image.predictions],
    }


def _prediction(prediction: ComparedPrediction, size: tuple[int, int]) -> dict[str, Any]:
    """Return a prediction's map, and label, state, IoU and score of the segments of both sides."""
    pq = None if math.isnan(prediction.pq) else round(100 * prediction.pq, 1)
    scores = [None if score is None else round(score, 3) for score in prediction.scores]
    return {
        "pq": pq,
        "map": _map_uri(prediction.id_map, [one.id for one in prediction.predicted], size),
        "segments": [
            [one.label, one.state, round(one.iou, 3), score]
            for one, score in zip(prediction.predicted, scores, strict=True)
        ],
        "truth": [[one.label, one.state, round(one.iou, 3), None] for one in prediction.true],
    }


def _map_uri(id_map: np.ndarray, ids: Sequence[int], size: tuple[int, int]) -> str:
    """Return a PNG whose red and green are the place of each pixel's segment, from 1; 0 is void."""
    values, inverse = distinct(id_map)
    place = {number: index for index, number in enumerate(ids, 1)}
    places = np.array([place.get(value, 0) for value in values.tolist()])[inverse]
    pixels = np.stack([places % 256, places // 256, np.zeros_like(places)], -1).astype(np.uint8)
    return _data_uri(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST), "png")


def _data_uri(picture: Image.Image, form: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
