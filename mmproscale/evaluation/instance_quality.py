"""COCO's mask AP of things, by hotcoco or pycocotools, from masks encoded image by image."""

import importlib
import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from mmproscale.datasets.formats.rle import encode_mask, encode_masks, mask_fields
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import Segments

BACKENDS = {
    "hotcoco": ("hotcoco", "hotcoco"),
    "pycocotools": ("pycocotools.coco", "pycocotools.cocoeval"),
}
"""What computes AP: the modules of ``COCO`` and ``COCOeval``."""

# Of COCO's array of precision (IoU, recall, class, area, most detections): names and places.
_FIGURES = {
    "ap": (slice(None), 0),
    "ap50": (0, 0),
    "ap75": (5, 0),
    "aps": (slice(None), 1),
    "apm": (slice(None), 2),
    "apl": (slice(None), 3),
}


def encode_detections(
    labels: np.ndarray, scores: np.ndarray, masks: np.ndarray, categories: Sequence[dict]
) -> list[dict[str, Any]]:
    """Encode one image's instances as COCO's detections, without an image id.

    Args:
        labels: (N,) integers.
        scores: (N,).
        masks: (N, H, W) bool.
        categories: Those of things, in the order of labels.

    Raises:
        InputError: A label that is no thing.
    """
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(categories):
        wrong = labels.max() if labels.max() >= len(categories) else labels.min()
        raise InputError(
            f"an instance has label {wrong} but the data has {len(categories)} thing classes: set "
            "the model's num_things_classes"
        )
    return [
        {"category_id": categories[label]["id"], "score": float(score), **mask_fields(rle)}
        for label, score, rle in zip(labels, scores, encode_masks(masks), strict=True)
    ]


def encode_segments(
    id_map: np.ndarray, segments: Segments, categories: Sequence[dict]
) -> list[dict[str, Any]]:
    """Encode the things of one image's panoptic map as COCO's instances, without an image id.

    Args:
        id_map: (H, W).
        segments: The map's; areas and crowds stay as they say.
        categories: Those of things, in the order of labels.
    """
    instances = []
    for index in np.flatnonzero(segments.labels < len(categories)):
        instance = {
            "category_id": categories[segments.labels[index]]["id"],
            "iscrowd": int(segments.crowds[index]),
            **mask_fields(encode_mask(id_map == segments.ids[index])),
        }
        instances.append(instance | {"area": int(segments.areas[index])})
    return instances


def check_backend(name: str) -> None:
    """InputError where there is no such backend."""
    if name not in BACKENDS:
        raise InputError(f"ap_backend={name!r} is unknown: choose from {', '.join(BACKENDS)}")


def average_precision(
    sizes: Sequence[tuple[int, ...]],
    truths: Sequence[Sequence[dict]],
    detections: Sequence[Sequence[dict]],
    categories: Sequence[dict],
    backend: str = "hotcoco",
) -> dict[str, Any]:
    """COCO's mask AP.

    Args:
        sizes: (H, W) of each image; images always in one order, which breaks ties of scores.
        truths: Instances of each image.
        detections: Detections of each image.
        categories: Those of things.
        backend: A key of ``BACKENDS``.

    Returns:
        ``ap``, ``ap50``, ``ap75``, ``aps``, ``apm``, ``apl`` in 0..1 and ``per_class``: category
        id as text -> AP. NaN where the truth has no instance.
    """
    coco_module, evaluation_module = BACKENDS[backend]
    with redirect_stdout(io.StringIO()):  # pycocotools tells what it does
        new_coco = importlib.import_module(coco_module).COCO
        sides = [
            _dataset(new_coco, sizes, of_images, categories) for of_images in (truths, detections)
        ]
        evaluation = importlib.import_module(evaluation_module).COCOeval(*sides, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[..., -1]
    figures = {name: _mean(precision[iou, ..., area]) for name, (iou, area) in _FIGURES.items()}
    classes = {str(c): _mean(precision[:, :, k, 0]) for k, c in enumerate(evaluation.params.catIds)}
    return {**figures, "per_class": {str(c["id"]): classes[str(c["id"])] for c in categories}}


def _dataset(new_coco: type, sizes: Sequence, of_images: Sequence, categories: Sequence) -> Any:
    """One side as a COCO object; images and annotations are numbered, whatever their ids were."""
    images = [dict(id=n, height=h, width=w) for n, (h, w) in enumerate(sizes, start=1)]
    annotations: list[dict] = []
    for number, of_image in enumerate(of_images, start=1):
        for annotation in of_image:
            place = {"id": len(annotations) + 1, "image_id": number}
            annotations.append({"iscrowd": 0} | annotation | place)
    coco = new_coco()
    coco.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": c["id"], "name": c["name"]} for c in categories],
    }
    coco.createIndex()
    return coco


def _mean(precision: np.ndarray) -> float:
    """COCO's -1, for classes and sizes without an instance, is left out."""
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else float("nan")
