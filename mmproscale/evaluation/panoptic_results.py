"""Panoptic results in files, of whatever model, against COCO panoptic ground truth."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.faults import refuse
from mmproscale.datasets.formats.panoptic_files import read_json
from mmproscale.datasets.formats.panoptic_png import png_shape, read_png
from mmproscale.errors import InputError
from mmproscale.evaluation.file_comparison import StoredMap, count_files
from mmproscale.evaluation.file_faults import first_of, prediction_faults
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import (
    ImagePrediction,
    ImageScore,
    ImageScorer,
    LabelledMap,
)
from mmproscale.evaluation.instance_quality import average_precision, described, encode_segments
from mmproscale.evaluation.panoptic_quality import Segments, positions
from mmproscale.evaluation.universal_report import add_up, make_report, zero_totals
from mmproscale.utils.processors import usable_cores


class PanopticResults:
    """A COCO panoptic JSON of predictions and its folder of PNGs.

    Args:
        json_file: With ``annotations``; what else it has is not read.
        folder: Of the PNGs; by default the JSON's path without ``.json``.
        truth: What they are predictions for; every image of it must be predicted, others are left
            out.

    Raises:
        InputError: A file or folder is missing; the JSON has a fault that bears on figures; an
            image is not predicted, a category is unknown.
    """

    def __init__(
        self, json_file: str | Path, folder: str | Path | None, truth: PanopticGroundTruth
    ) -> None:
        self.json_file, self.truth = Path(json_file), truth
        self.folder = Path(folder) if folder else self.json_file.with_suffix("")
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder: name that of the predicted PNGs")
        content = read_json(json_file, "the file's name")
        annotations = content.get("annotations") if isinstance(content, dict) else None
        if not isinstance(annotations, list):
            raise InputError(f"{json_file} is not COCO panoptic: no list 'annotations'")
        sides = {"images": list(truth.images.values()), "categories": truth.categories}
        refuse(first_of(prediction_faults(annotations, sides, str(json_file))))
        self._of_image: dict[Any, StoredMap] = {
            a["image_id"]: self._stored(a)
            for a in annotations
            if a["image_id"] in truth.annotations
        }
        lost = [i for i in truth.annotations if i not in self._of_image]
        if lost:
            raise InputError(
                f"{json_file} has no prediction for image {lost[0]} ({len(lost)} of "
                f"{len(truth.annotations)} are missing)"
            )

    def _stored(self, annotation: dict[str, Any]) -> StoredMap:
        image_id, segments = annotation["image_id"], annotation["segments_info"]
        ids = [segment["category_id"] for segment in segments]
        unknown = [category_id for category_id in ids if category_id not in self.truth.label_of]
        if unknown:
            raise InputError(
                f"{self.json_file}: image {image_id} has category_id {unknown[0]}, which is not in "
                f"{self.truth.ann_file}"
            )
        png = Path(self.truth.annotations[image_id]["file_name"]).with_suffix(".png")
        return StoredMap(self.folder, annotation.get("file_name") or str(png), segments)

    def count(self, image_id: Any) -> np.ndarray:
        """PQ's counts of one image, (C, 4) as ``match_segments``, by hotcoco from the files.

        Raises:
            InputError: A PNG is missing or no 8-bit RGB; PNG and JSON of either side, or both
                sides, contradict each other.
        """
        prediction = self._of_image[image_id]
        self.truth.check_png(image_id)
        png_shape(prediction.path)
        try:
            return count_files(self.truth.stored(image_id), prediction, self.truth.categories)
        except ValueError as error:
            problem = str(error).removeprefix("image 0: ")
            raise InputError(
                f"image {image_id}, predicted in {prediction.path}: {problem}"
            ) from error

    def read(self, image_id: Any, need_instances: bool) -> ImagePrediction:
        """Read one image's prediction; void is no class, and a miss for mIoU.

        Args:
            image_id: One that :meth:`count` passes.
            need_instances: Whether the things are wanted as detections, by their ``score`` in the
                JSON, 1 where it has none.
        """
        stored = self._of_image[image_id]
        infos = stored.segments
        ids = np.array([info["id"] for info in infos], np.int64)
        labels = np.array([self.truth.label_of[info["category_id"]] for info in infos], np.int64)

        def labels_of(values: np.ndarray) -> np.ndarray:
            return np.append(labels, -1)[positions(ids, values)]

        id_map = read_png(stored.path)
        none = np.zeros(len(ids), np.int64)
        segments = Segments(ids, labels, none, none.astype(bool))
        scores = [info.get("score", 1.0) for info in infos]
        detections = self._detections(id_map, segments, scores) if need_instances else []
        semantic = LabelledMap(id_map, labels_of)
        return ImagePrediction(id_map.shape, None, semantic, detections)

    def _detections(
        self, id_map: np.ndarray, segments: Segments, scores: Sequence[float]
    ) -> list[dict[str, Any]]:
        things = self.truth.categories[: self.truth.num_things]
        instances = encode_segments(id_map, segments, things)
        of_things = np.array(scores, float)[segments.labels < len(things)]
        return [
            {**instance, **described(instance["segmentation"]), "score": float(score)}
            for instance, score in zip(instances, of_things, strict=True)
        ]


def score_results(
    results: PanopticResults,
    more: ImageScorer | None = None,
    detections_of: Callable[[Any], list[dict[str, Any]]] | None = None,
    per_image: bool = False,
    ap_backend: str = "hotcoco",
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda scores, total: scores,
) -> dict[str, Any]:
    """Score every image of the ground truth.

    Args:
        results: The predictions, of which PQ is always given.
        more: Scores ``semantic`` or ``instance`` or both, if they are wanted.
        detections_of: From an image's id to its detections; by default the predicted things.
        per_image: Whether the report has PQ of each image.
        ap_backend: What computes AP.
        progress: Wraps the images as they are done, given their number.

    Returns:
        The report, as ``make_report``.
    """
    kinds = ("panoptic", *(more.kinds if more else ()))
    categories = results.truth.categories
    score = partial(_score_image, results, more, detections_of)
    image_ids = list(results.truth.annotations)
    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            scores = list(progress(pool.map(score, image_ids), len(image_ids)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    totals = add_up(scores, zero_totals(len(categories), kinds))
    precision = _precision(scores, more, ap_backend) if "instance" in kinds else None
    counts = {s.image_id: s.counts["panoptic"] for s in scores} if per_image else None
    return make_report(len(scores), totals, precision, counts, categories)


def _score_image(
    results: PanopticResults,
    more: ImageScorer | None,
    detections_of: Callable[[Any], list[dict[str, Any]]] | None,
    image_id: Any,
) -> ImageScore:
    counts = {"panoptic": results.count(image_id)}
    if more is None:
        return ImageScore(image_id, (), counts)
    from_segments = "instance" in more.kinds and detections_of is None
    score = more.score(image_id, results.read(image_id, from_segments))
    detections = detections_of(image_id) if detections_of else score.detections
    return replace(score, counts=counts | score.counts, detections=detections)


def _precision(
    scores: Sequence[ImageScore], scorer: ImageScorer, ap_backend: str
) -> dict[str, Any]:
    sizes = [s.shape for s in scores]
    truths, detections = [s.truths for s in scores], [s.detections for s in scores]
    return average_precision(sizes, truths, detections, scorer.things, ap_backend)
