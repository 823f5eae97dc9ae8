"""Predictions read back from files and checked: panoptic PNGs, and detections in COCO's format."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.annotation_faults import image_reference_faults, missing_keys
from mmproscale.datasets.checks.instance_faults import mask_faults
from mmproscale.datasets.checks.panoptic_faults import annotation_list_faults
from mmproscale.datasets.formats.coco_json import list_faults, read_json
from mmproscale.datasets.formats.panoptic_png import png_shape, read_png
from mmproscale.datasets.formats.rle import encode_mask, mask_fields
from mmproscale.errors import InputError
from mmproscale.evaluation.average_precision import average_precision
from mmproscale.evaluation.ground_truth import (
    UNREAD_KEYS,
    PanopticGroundTruth,
    faults_in_read_keys,
    segments_with_place,
)
from mmproscale.evaluation.image_score import ImagePrediction, ImageScore, ImageScorer, LabelledMap
from mmproscale.evaluation.panoptic_quality import Segments, StoredMap, count_files, positions
from mmproscale.evaluation.report import add_up, make_report
from mmproscale.utils.faults import Fault, excerpt, is_finite, is_int, refuse
from mmproscale.utils.processes import usable_cores

DETECTION_KEYS = ("image_id", "category_id", "score", "segmentation")
# Predictions are measured by their PNGs.
_UNREAD_KEYS = UNREAD_KEYS | {"area", "iscrowd"}
# `PanopticResults` checks the categories of the images that are scored. It ignores other images,
# since the truth may be a part of the data set.
_ALLOWED_FAULTS = ("annotation-without-image", "category-unknown", "png-named-twice")

DetectionsOf = Callable[[Any], list[dict[str, Any]]]


class PanopticResults:
    """COCO panoptic predictions: a JSON and its folder of PNGs.

    Args:
        json_file: The JSON, of which only ``annotations`` is read.
        folder: Folder of the PNGs; by default the JSON's path without ``.json``.
        truth: The ground truth. Each of its images must be predicted; others are left out.

    Raises:
        InputError: A file or folder is missing; the JSON has a fault that affects figures; an
            image is not predicted, a category is unknown.
    """

    def __init__(
        self, json_file: str | Path, folder: str | Path | None, truth: PanopticGroundTruth
    ) -> None:
        self.json_file, self.truth = Path(json_file), truth
        self.folder = Path(folder) if folder else self.json_file.with_suffix("")
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder: name the predicted PNGs' folder")
        content = read_json(json_file, "the file's name")
        annotations = content.get("annotations") if isinstance(content, dict) else None
        if not isinstance(annotations, list):
            raise InputError(f"{json_file} is not COCO panoptic: no list 'annotations'")
        sides = {"images": list(truth.images.values()), "categories": truth.categories}
        _refuse_first(_panoptic_faults(sides | {"annotations": annotations}, str(json_file)))
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
        """Count one image for PQ, (C, 4) as ``match_segments``, by hotcoco from the files.

        Raises:
            InputError: A PNG is missing or not 8-bit RGB; PNG and JSON of either side, or both
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
        """Read one image's semantic prediction; void is not a class, and a miss for mIoU.

        Args:
            image_id: One that :meth:`count` accepts.
            need_instances: True to return things as detections, too. Their score is that of the
                JSON, or 1 if it has none.
        """
        stored = self._of_image[image_id]
        ids = np.array([info["id"] for info in stored.segments], np.int64)
        of_segments = [self.truth.label_of[info["category_id"]] for info in stored.segments]
        labels = np.array([*of_segments, -1], np.int64)  # the last one is that of void

        def labels_of(values: np.ndarray) -> np.ndarray:
            return labels[positions(ids, values)]

        id_map = read_png(stored.path)
        detections = self._detections(id_map, stored) if need_instances else []
        return ImagePrediction(
            id_map.shape, {"semantic": LabelledMap(id_map, labels_of)}, detections
        )

    def read_segments(self, image_id: Any) -> tuple[np.ndarray, Segments, list[float | None]]:
        """Read one image's id map, (H, W) int32, its segments, and their scores if it has them.

        Args:
            image_id: One that :meth:`count` accepts.
        """
        stored = self._of_image[image_id]
        id_map, infos = read_png(stored.path), stored.segments
        ids = np.array([info["id"] for info in infos], np.int64)
        values, pixels = np.unique(id_map, return_counts=True)
        labels = [self.truth.label_of[info["category_id"]] for info in infos]
        areas = pixels[positions(values, ids)]
        segments = Segments(ids, np.array(labels, np.int64), areas, np.zeros(len(ids), bool))
        return id_map, segments, [info.get("score") for info in infos]

    def _detections(self, id_map: np.ndarray, stored: StoredMap) -> list[dict[str, Any]]:
        return [
            {
                "category_id": info["category_id"],
                "score": float(info.get("score", 1.0)),
                **mask_fields(encode_mask(id_map == info["id"])),
            }
            for info in stored.segments
            if info["category_id"] in self.truth.thing_ids
        ]


def detections_by_image(path: str | Path, truth: PanopticGroundTruth) -> DetectionsOf:
    """Read detections of masks in COCO's results format.

    Returns:
        Function from an image's id to its detections.

    Raises:
        InputError: The file is missing or is not a list of results; an image or category is not
            in the ground truth; a score is not a number, a mask not an RLE of its image's size.
    """
    content = read_json(path, "the file's name")
    if not isinstance(content, list):
        raise InputError(f"{path} is not a list of COCO results: give detections in that format")
    faults = (
        _detection_faults(entry, truth, str(path), f"[{place}]")
        for place, entry in enumerate(content)
    )
    _refuse_first(chain.from_iterable(faults))
    found: dict[Any, list[dict[str, Any]]] = {}
    for entry in content:
        detection = {"category_id": entry["category_id"], "score": float(entry["score"])}
        detection |= mask_fields(entry["segmentation"])
        found.setdefault(entry["image_id"], []).append(detection)
    return lambda image_id: found.get(image_id, [])


def _refuse_first(faults: Iterator[Fault]) -> None:
    """Refuse without counting other faults: tools/check_dataset.py can't list those of results."""
    refuse(islice(faults, 1))


def _panoptic_faults(content: Mapping[str, list], file: str) -> Iterator[Fault]:
    """Find faults of predicted ``annotations``; images and categories are the ground truth's."""
    wrong = list(list_faults(content, file))
    yield from wrong
    if wrong:
        return
    for fault in faults_in_read_keys(annotation_list_faults(content, file), _UNREAD_KEYS):
        if fault.kind not in _ALLOWED_FAULTS:
            yield fault
    for record, segment in segments_with_place(content["annotations"]):
        yield from _score_faults(segment.get("score", 1.0), file, f"{record}.score")


def _score_faults(score: Any, file: str, field: str) -> Iterator[Fault]:
    if not is_finite(score):
        problem = f"is {excerpt(score)}, not a finite number"
        yield Fault("score-value", file, field, problem, "give a confidence from 0 to 1")


def _detection_faults(
    entry: Any, truth: PanopticGroundTruth, file: str, record: str
) -> Iterator[Fault]:
    if not isinstance(entry, dict):
        problem = f"is {excerpt(entry)}, not an object"
        yield Fault("result-type", file, record, problem, f"give {', '.join(DETECTION_KEYS)}")
        return
    image_id, field = entry.get("image_id"), f"{record}.image_id"
    wrong = [
        *missing_keys(entry, DETECTION_KEYS, "result-key-missing", file, record),
        *image_reference_faults(image_id, truth.annotations, file, field),
    ]
    yield from wrong
    if wrong:
        return
    category = entry["category_id"]
    if not is_int(category) or category not in truth.thing_ids:
        problem = f"is {excerpt(category)}, which is not a thing of {truth.ann_file}"
        yield Fault("category-unknown", file, f"{record}.category_id", problem, "correct the id")
    yield from _score_faults(entry["score"], file, f"{record}.score")
    mask = entry["segmentation"]
    if not isinstance(mask, dict) or not mask:
        problem = f"is {excerpt(mask)}, not an RLE"
        action = "give size=[height, width] and counts"
        yield Fault("mask-type", file, f"{record}.segmentation", problem, action)
        return
    height, width = truth.shape_of(image_id)
    yield from mask_faults({"segmentation": mask}, height, width, file, record)


def score_results(
    results: PanopticResults,
    more: ImageScorer | None = None,
    detections_of: DetectionsOf | None = None,
    per_image: bool = False,
    ap_backend: str = "hotcoco",
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda scores, total: scores,
) -> dict[str, Any]:
    """Score every image of the ground truth.

    Args:
        results: The predictions, which are always scored by PQ.
        more: Scorer of ``semantic`` or ``instance`` or both, if they are wanted.
        detections_of: From an image's id to its detections; by default the predicted things.
        per_image: True to report PQ of each image.
        ap_backend: Library that computes AP.
        progress: Wrapper of the images as they are done, called with their number.

    Returns:
        The report, as ``make_report``.
    """
    kinds = ("panoptic", *(more.kinds if more else ()))
    truth = results.truth
    score = partial(_score_image, results, more, detections_of)
    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            scores = list(progress(pool.map(score, truth.annotations), len(truth.annotations)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    totals = add_up(scores, len(truth.categories), kinds)
    precision = None
    if "instance" in kinds:
        precision = average_precision([s.instances for s in scores], truth.things, ap_backend)
    counts = {s.image_id: s.counts["panoptic"] for s in scores} if per_image else None
    return make_report(len(scores), totals, precision, counts, truth.categories)


def _score_image(
    results: PanopticResults,
    more: ImageScorer | None,
    detections_of: DetectionsOf | None,
    image_id: Any,
) -> ImageScore:
    counts = {"panoptic": results.count(image_id)}
    if more is None:
        return ImageScore(image_id, counts)
    from_segments = "instance" in more.kinds and detections_of is None
    score = more.score(image_id, results.read(image_id, from_segments))
    instances = score.instances
    if detections_of:
        instances = instances._replace(detections=detections_of(image_id))
    return ImageScore(image_id, counts | score.counts, instances)
