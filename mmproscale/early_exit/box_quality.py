"""COCO's AP of one image's boxes: what step B records of a detector at every exit."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmproscale.early_exit.box_matches import IOUS, BoxMatches
from mmproscale.errors import InputError

MOST_DETECTIONS = 100
"""Of an image and a class, as COCO counts them."""

EVERY_AREA = [0, 1e10]


@dataclass(frozen=True)
class ImageMatches:
    """Of one image at one exit labels of truths (G,), and of D detections what BoxMatches has."""

    truths: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray


class BoxImageQuality:
    """AP of an image by itself, and the matches from which AP of any set of images follows.

    Args:
        dataset: The images' dataset, built.
        ious: Places in ``IOUS`` of those over which AP is the mean.

    Attributes:
        categories: In the order of labels.

    Raises:
        InputError: A dataset that is not in COCO's format.
    """

    kind = None
    """A detector has one kind of results."""

    def __init__(self, dataset: CocoDataset, ious: Sequence[int] = range(len(IOUS))) -> None:
        if not isinstance(dataset, CocoDataset) or not hasattr(dataset, "cat2label"):
            raise InputError(
                "quality ap needs boxes in COCO's format to train on, and the config has "
                f"{type(dataset).__name__}"
            )
        content = json.loads(Path(dataset.ann_file).read_text())
        named = {category["id"]: category for category in content["categories"]}
        self.categories = tuple(dict(id=i, name=named[i]["name"]) for i in dataset.cat_ids)
        self._labels, self._ious = dict(dataset.cat2label), tuple(ious)
        self._truths: dict[Any, list[dict]] = {image["id"]: [] for image in content["images"]}
        for annotation in content.get("annotations", ()):
            if annotation["category_id"] in self._labels:
                self._truths[annotation["image_id"]].append(annotation)

    def measure(self, sample: dict[str, Any]) -> tuple[float, ImageMatches]:
        """Quality in 0..1, NaN where the image has no box to be found, and the matches.

        Args:
            sample: A model's prediction as a dict, boxes (x1, y1, x2, y2) in the image's own frame.

        Raises:
            InputError: The ground truth lacks the image; there are no boxes, or one of a class
                that the data has not.
        """
        image_id, found = sample["img_id"], sample.get("pred_instances")
        if image_id not in self._truths:
            raise InputError(f"image {image_id} is not in the training set's annotation file")
        if found is None or "bboxes" not in found:
            raise InputError(
                f"the model gives no boxes for image {image_id}: quality ap needs them"
            )
        detections = _detections(found, [category["id"] for category in self.categories])
        matches = self._match(self._truths[image_id], detections)
        choice = np.zeros(1, int)
        return stack([[matches]], len(self.categories), self._ious).quality(choice), matches

    def columns(self, measured: Sequence[ImageMatches]) -> dict[str, Any]:
        """An image's row in the derived file, of what was measured at each exit."""
        joined = {
            name: np.concatenate([getattr(of_exit, name) for of_exit in measured])
            for name in ("labels", "scores", "matched", "ignored")
        }
        found = [len(of_exit.labels) for of_exit in measured]
        return joined | dict(truths=measured[0].truths, found=found)

    def _match(self, truths: list[dict], detections: list[dict]) -> ImageMatches:
        """By COCO's own rules, class by class."""
        classes = sorted({one["category_id"] for one in truths + detections})
        with redirect_stdout(io.StringIO()):  # pycocotools tells what it does
            evaluation = COCOeval(
                *(_one_image(side, classes) for side in (truths, detections)), "bbox"
            )
            evaluation.params.areaRng, evaluation.params.areaRngLbl = [EVERY_AREA], ["all"]
            evaluation.params.maxDets = [MOST_DETECTIONS]
            evaluation.evaluate()
        of_classes = [one for one in evaluation.evalImgs if one is not None]
        sizes = [len(one["dtScores"]) for one in of_classes]
        labels = [self._labels[one["category_id"]] for one in of_classes]
        wanted = [self._labels[t["category_id"]] for t in truths if not t.get("iscrowd")]
        return ImageMatches(
            truths=np.array(wanted, np.int32),
            labels=np.repeat(np.array(labels, np.int32), sizes),
            scores=_joined([one["dtScores"] for one in of_classes]).astype(np.float32),
            matched=_joined([_bits(one["dtMatches"] > 0) for one in of_classes]).astype(np.int16),
            ignored=_joined([_bits(one["dtIgnore"]) for one in of_classes]).astype(np.int16),
        )


def stack(
    of_images: Sequence[Sequence[ImageMatches]], num_classes: int, ious: Sequence[int]
) -> BoxMatches:
    """The matches of some images, each at every exit, as one."""
    numbered = [
        (image, place, matches)
        for image, of_exits in enumerate(of_images)
        for place, matches in enumerate(of_exits)
    ]
    sizes = [len(matches.labels) for *_, matches in numbered]
    firsts = [(image, of_exits[0].truths) for image, of_exits in enumerate(of_images)]
    return BoxMatches(
        truth_images=np.repeat([image for image, _ in firsts], [len(t) for _, t in firsts]),
        truth_labels=_joined([truths for _, truths in firsts]).astype(int),
        images=np.repeat([image for image, *_ in numbered], sizes),
        exits=np.repeat([place for _, place, _ in numbered], sizes),
        **{
            name: _joined([getattr(matches, name) for *_, matches in numbered])
            for name in ("labels", "scores", "matched", "ignored")
        },
        num_images=len(of_images),
        num_classes=num_classes,
        ious=ious,
    )


def _detections(found: dict[str, Any], ids: Sequence[int]) -> list[dict[str, Any]]:
    """COCO's detections of a model's boxes."""
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


def _one_image(annotations: list[dict], classes: Sequence[int]) -> COCO:
    """One side of the comparison, as the only image that there is."""
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=1)],
        categories=[dict(id=c) for c in classes],
        annotations=[
            dict(
                id=number,
                image_id=1,
                category_id=one["category_id"],
                bbox=one["bbox"],
                area=one.get("area", one["bbox"][2] * one["bbox"][3]),
                iscrowd=one.get("iscrowd", 0),
                score=one.get("score"),
            )
            for number, one in enumerate(annotations, start=1)
        ],
    )
    coco.createIndex()
    return coco


def _bits(flags: np.ndarray) -> np.ndarray:
    """(T, D) of bools as D numbers, whose bit t is row t."""
    return (flags.astype(int) << np.arange(len(flags))[:, None]).sum(0)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """One after the other; of none, none."""
    return np.concatenate(arrays) if len(arrays) else np.zeros(0)
