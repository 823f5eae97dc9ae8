"""Quality of a model's result for one image, which step B of ECO-M2F records at every exit."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mmdet.datasets import CocoDataset, CocoPanopticDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmproscale.early_exit.dataset_quality import BOX_IOUS, BoxMatches, pq_of_counts
from mmproscale.errors import InputError
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.image_score import ImageScorer
from mmproscale.evaluation.model_predictions import prediction_of

MAX_DETECTIONS = 100
"""Detections of one class in one image that COCO's AP counts at most."""

ALL_AREAS = [0, 1e10]


class ImageQuality(Protocol):
    """Measure of a model's result for one image.

    Attributes:
        kind: The kind of a segmentor's results that is measured; None for a detector.
        categories: The classes, in the order of labels.
    """

    kind: str | None
    categories: tuple[dict[str, Any], ...]

    def measure(self, sample: dict[str, Any]) -> tuple[float, Any]:
        """Return a prediction's quality in 0..1, NaN where undefined, and its counts."""

    def columns(self, counts: Sequence[Any]) -> dict[str, Any]:
        """Return the image's columns of the derived file from its counts at each exit."""


class PanopticImageQuality:
    """PQ of single images, and the counts that give PQ of any set of images.

    Args:
        dataset: The images' dataset, built.

    Raises:
        InputError: The dataset is not panoptic, or its files have faults.
    """

    kind: str | None = "panoptic"

    def __init__(self, dataset: CocoPanopticDataset) -> None:
        if not isinstance(dataset, CocoPanopticDataset):
            raise InputError(
                f"quality pq needs panoptic images to train on, and the config has "
                f"{type(dataset).__name__}"
            )
        truth = PanopticGroundTruth(dataset.ann_file, dataset.data_prefix.get("seg"))
        self._scorer = ImageScorer(truth, ["panoptic"])
        names = ("id", "name", "isthing")
        self.categories = tuple({key: c[key] for key in names} for c in truth.categories)

    def measure(self, sample: dict[str, Any]) -> tuple[float, np.ndarray]:
        """Return PQ, NaN where neither truth nor result has a segment, and counts (C, 4).

        Args:
            sample: A model's prediction as a dict, at the image's own size.

        Raises:
            InputError: The ground truth lacks the image, or has it in another size.
        """
        score = self._scorer.score(sample["img_id"], prediction_of(sample, self._scorer))
        counts = score.counts["panoptic"]
        return float(pq_of_counts(counts)), counts

    def columns(self, counts: Sequence[np.ndarray]) -> dict[str, Any]:
        """Return the classes that occur at any exit, and their counts class by class."""
        values = np.stack(counts)
        occurring = np.flatnonzero(values[..., 1:].any(axis=(0, 2)))
        return dict(labels=occurring, counts=values[:, occurring].transpose(1, 0, 2).ravel())


class BoxImageQuality:
    """COCO's AP of single images, and the matches that give AP of any set of images.

    Args:
        dataset: The images' dataset, built.
        ious: Indices into ``IOUS`` over which AP is the mean.

    Raises:
        InputError: The dataset is not in COCO's format.
    """

    kind: str | None = None

    def __init__(self, dataset: CocoDataset, ious: Sequence[int] = BOX_IOUS["ap"]) -> None:
        if not isinstance(dataset, CocoDataset) or not hasattr(dataset, "cat2label"):
            raise InputError(
                "quality ap needs boxes in COCO's format to train on, and the config has "
                f"{type(dataset).__name__}"
            )
        content = json.loads(Path(dataset.ann_file).read_text())
        categories = {category["id"]: category for category in content["categories"]}
        self.categories = tuple(dict(id=i, name=categories[i]["name"]) for i in dataset.cat_ids)
        self._labels, self._ious = dict(dataset.cat2label), tuple(ious)
        self._truths: dict[Any, list[dict]] = {image["id"]: [] for image in content["images"]}
        for annotation in content.get("annotations", ()):
            if annotation["category_id"] in self._labels:
                self._truths[annotation["image_id"]].append(annotation)

    def measure(self, sample: dict[str, Any]) -> tuple[float, BoxMatches]:
        """Return AP, NaN where the image has no true box, and the image's matches at one exit.

        Args:
            sample: A model's prediction as a dict, boxes (x1, y1, x2, y2) in the image's own frame.

        Raises:
            InputError: The ground truth lacks the image, the prediction has no boxes, or a box has
                an unknown class.
        """
        image_id, found = sample["img_id"], sample.get("pred_instances")
        if image_id not in self._truths:
            raise InputError(f"image {image_id} is not in the training set's annotation file")
        if found is None or "bboxes" not in found:
            raise InputError(
                f"the model gives no boxes for image {image_id}: quality ap needs them"
            )
        detections = _coco_detections(found, [category["id"] for category in self.categories])
        matches = self._match(self._truths[image_id], detections)
        return matches.quality(np.zeros(1, int)), matches

    def columns(self, counts: Sequence[BoxMatches]) -> dict[str, Any]:
        """Return the true boxes, and the detections of all exits one after the other."""
        names = ("labels", "scores", "matched", "ignored")
        joined = {name: np.concatenate([getattr(c, name) for c in counts]) for name in names}
        return joined | dict(truths=counts[0].truth_labels, found=[len(c.labels) for c in counts])

    def _match(self, truths: list[dict], detections: list[dict]) -> BoxMatches:
        """Match by pycocotools, class by class."""
        classes = sorted({box["category_id"] for box in truths + detections})
        with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            evaluation = COCOeval(
                *(_single_image(boxes, classes) for boxes in (truths, detections)), "bbox"
            )
            evaluation.params.areaRng, evaluation.params.areaRngLbl = [ALL_AREAS], ["all"]
            evaluation.params.maxDets = [MAX_DETECTIONS]
            evaluation.evaluate()
        results = [result for result in evaluation.evalImgs if result is not None]
        true_labels = [self._labels[t["category_id"]] for t in truths if not t.get("iscrowd")]
        labels = [self._labels[result["category_id"]] for result in results]
        sizes = [len(result["dtScores"]) for result in results]
        return BoxMatches(
            truth_images=np.zeros(len(true_labels), int),
            truth_labels=np.array(true_labels, int),
            images=np.zeros(sum(sizes), int),
            exits=np.zeros(sum(sizes), int),
            labels=np.repeat(np.array(labels, int), sizes),
            scores=_joined([result["dtScores"] for result in results], np.float32),
            matched=_joined([_bits(result["dtMatches"] > 0) for result in results], np.int16),
            ignored=_joined([_bits(result["dtIgnore"]) for result in results], np.int16),
            num_images=1,
            num_classes=len(self.categories),
            ious=self._ious,
        )


QUALITIES: dict[str, Callable[..., ImageQuality]] = {
    "pq": PanopticImageQuality,
    **{name: partial(BoxImageQuality, ious=ious) for name, ious in BOX_IOUS.items()},
}
"""Measures by the names that ``tools/eco.py derive --quality`` takes."""


def _coco_detections(found: dict[str, Any], ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return a model's boxes as COCO detections, for category ids in the order of labels."""
    labels, scores, boxes = (found[key].tolist() for key in ("labels", "scores", "bboxes"))
    if labels and not 0 <= min(labels) <= max(labels) < len(ids):
        wrong = max(labels) if max(labels) >= len(ids) else min(labels)
        raise InputError(
            f"a box has label {wrong} but the data has {len(ids)} classes: set the head's "
            "num_classes"
        )
    return [
        dict(category_id=ids[label], score=score, bbox=[x1, y1, x2 - x1, y2 - y1])
        for label, score, (x1, y1, x2, y2) in zip(labels, scores, boxes, strict=True)
    ]


def _single_image(boxes: list[dict], classes: Sequence[int]) -> COCO:
    """Return a COCO dataset whose only image has these boxes."""
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=1)],
        categories=[dict(id=c) for c in classes],
        annotations=[
            dict(iscrowd=0, area=box["bbox"][2] * box["bbox"][3]) | box | dict(id=i, image_id=1)
            for i, box in enumerate(boxes, start=1)
        ],
    )
    coco.createIndex()
    return coco


def _bits(flags: np.ndarray) -> np.ndarray:
    """Return D integers whose bit t is ``flags[t]``, for booleans (T, D)."""
    return (flags.astype(int) << np.arange(len(flags))[:, None]).sum(0)


def _joined(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype)
