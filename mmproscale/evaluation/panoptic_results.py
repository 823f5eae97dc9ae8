"""Panoptic results in files, of whatever model, against COCO panoptic ground truth."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.panoptic_files import read_annotation_json
from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import (
    ImagePrediction,
    ImageScore,
    ImageScorer,
    LabelledMap,
    labels_by_id,
)
from mmproscale.evaluation.instance_quality import average_precision, described, encode_segments
from mmproscale.evaluation.panoptic_format import VOID, read_png
from mmproscale.evaluation.panoptic_quality import Segments
from mmproscale.evaluation.universal_report import add_up, make_report, zero_totals


class PanopticResults:
    """A COCO panoptic JSON of predictions and its folder of PNGs.

    Args:
        json_file: With ``annotations``; what else it has is not read.
        folder: Of the PNGs; by default the JSON's path without ``.json``.
        truth: What they are predictions for; every image of it must be predicted, others are left
            out.

    Raises:
        InputError: A file or folder is missing or is not what it should be, an image is not
            predicted or twice, a category is unknown.
    """

    def __init__(
        self, json_file: str | Path, folder: str | Path | None, truth: PanopticGroundTruth
    ) -> None:
        self.json_file, self.truth = Path(json_file), truth
        self.folder = Path(folder) if folder else self.json_file.with_suffix("")
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder: name that of the predicted PNGs")
        content = read_annotation_json(str(json_file))
        annotations = content.get("annotations") if isinstance(content, dict) else None
        if not isinstance(annotations, list):
            raise InputError(f"{json_file} is not COCO panoptic: no list 'annotations'")
        self._of_image: dict[Any, dict] = {}
        for annotation in annotations:
            self._add(annotation)
        lost = [i for i in truth.annotations if i not in self._of_image]
        if lost:
            raise InputError(
                f"{json_file} has no prediction for image {lost[0]} ({len(lost)} of "
                f"{len(truth.annotations)} are missing)"
            )

    def _add(self, annotation: Mapping[str, Any]) -> None:
        image_id = annotation.get("image_id")
        if image_id in self._of_image:
            raise InputError(f"{self.json_file} has two predictions for image {image_id}")
        if image_id not in self.truth.annotations:
            return
        try:
            categories = [segment["category_id"] for segment in annotation["segments_info"]]
            ids = [segment["id"] for segment in annotation["segments_info"]]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{self.json_file}: prediction for image {image_id} is not COCO panoptic: {error!r}"
            ) from None
        unknown = [c for c in categories if c not in self.truth.label_of]
        if unknown:
            raise InputError(
                f"{self.json_file}: image {image_id} has category_id {unknown[0]}, which is not in "
                f"{self.truth.ann_file}"
            )
        labels = [self.truth.label_of[category] for category in categories]
        png = Path(self.truth.annotations[image_id]["file_name"]).with_suffix(".png")
        self._of_image[image_id] = {
            "file_name": annotation.get("file_name", str(png)),
            "ids": ids,
            "labels": labels,
            "scores": [segment.get("score", 1.0) for segment in annotation["segments_info"]],
        }

    def read(self, image_id: Any, need_instances: bool) -> ImagePrediction:
        """Read one image's prediction; void is no class, and a miss for mIoU.

        Args:
            image_id: One of the ground truth's.
            need_instances: Whether the things are wanted as detections, by their ``score`` in the
                JSON, 1 where it has none.
        """
        entry = self._of_image[image_id]
        path = self.folder / entry["file_name"]
        id_map = read_png(path)
        labels_of = labels_by_id(entry["ids"], entry["labels"], VOID, str(path))
        labelled = LabelledMap(id_map, labels_of)
        detections = self._detections(entry, id_map) if need_instances else []
        return ImagePrediction(id_map.shape, labelled, labelled, detections)

    def _detections(self, entry: Mapping[str, Any], id_map: np.ndarray) -> list[dict[str, Any]]:
        labels = np.array(entry["labels"], np.int64)
        none = np.zeros(len(labels), np.int64)
        segments = Segments(np.array(entry["ids"], np.int64), labels, none, none.astype(bool))
        things = self.truth.categories[: self.truth.num_things]
        instances = encode_segments(id_map, segments, things)
        scores = np.array(entry["scores"], float)[labels < len(things)]
        return [
            {**instance, **described(instance["segmentation"]), "score": float(score)}
            for instance, score in zip(instances, scores, strict=True)
        ]


def detections_by_image(
    path: str | Path, truth: PanopticGroundTruth
) -> Callable[[Any], list[dict[str, Any]]]:
    """Read detections of masks in COCO's results format; return what finds those of an image.

    Raises:
        InputError: The file is missing or is no such list; a category is no thing.
    """
    content = read_annotation_json(str(path))
    things = {c["id"] for c in truth.categories if c["isthing"]}
    found: dict[Any, list[dict[str, Any]]] = {}
    try:
        for entry in content:
            if entry["category_id"] not in things:
                raise InputError(f"{path}: category_id {entry['category_id']} is no thing")
            detection = {"category_id": entry["category_id"], "score": float(entry["score"])}
            detection |= described(entry["segmentation"])
            found.setdefault(entry["image_id"], []).append(detection)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is no list of COCO results with RLE masks: {error!r}") from None
    return lambda image_id: found.get(image_id, [])


def score_results(
    results: PanopticResults,
    scorer: ImageScorer,
    detections_of: Callable[[Any], list[dict[str, Any]]] | None = None,
    per_image: bool = False,
    ap_backend: str = "hotcoco",
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda scores, total: scores,
) -> dict[str, Any]:
    """Score every image of the ground truth.

    Args:
        results: The predictions.
        scorer: The ground truth and the metrics.
        detections_of: From an image's id to its detections; by default the predicted things.
        per_image: Whether the report has PQ of each image.
        ap_backend: What computes AP.
        progress: Wraps the images as they are done, given their number.

    Returns:
        The report, as ``make_report``.
    """
    truth = scorer.truth
    from_segments = "instance" in scorer.metrics and detections_of is None

    def score(image_id: Any) -> ImageScore:
        done = scorer.score(image_id, results.read(image_id, from_segments))
        if detections_of is not None:
            done.detections.extend(detections_of(image_id))
        return done

    image_ids = list(truth.annotations)
    with ThreadPoolExecutor(_cores()) as pool:
        try:
            scores = list(progress(pool.map(score, image_ids), len(image_ids)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    totals = add_up(scores, zero_totals(scorer.num_classes, scorer.metrics))
    precision = _precision(scores, scorer, ap_backend) if "instance" in scorer.metrics else None
    counts = {s.image_id: s.counts["panoptic"] for s in scores} if per_image else None
    return make_report(len(scores), totals, precision, counts, truth.categories)


def _precision(
    scores: Sequence[ImageScore], scorer: ImageScorer, ap_backend: str
) -> dict[str, Any]:
    sizes = [s.shape for s in scores]
    truths, detections = [s.truths for s in scores], [s.detections for s in scores]
    return average_precision(sizes, truths, detections, scorer.things, ap_backend)


def _cores() -> int:
    allowed = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1
