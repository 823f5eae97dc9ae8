"""COCO's average precision (AP) of masks, by hotcoco or pycocotools."""

import importlib
import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import numpy as np

from mmproscale.datasets.formats.rle import encode_mask, encode_masks, mask_fields
from mmproscale.errors import InputError
from mmproscale.evaluation.panoptic_quality import Segments

BACKENDS = {
    "hotcoco": ("hotcoco", "hotcoco"),
    "pycocotools": ("pycocotools.coco", "pycocotools.cocoeval"),
}
"""Libraries that compute AP: the modules of their ``COCO`` and ``COCOeval``."""

# Indices of the figures in COCO's array of precision (IoU, recall, class, area, most detections).
_FIGURES: dict[str, tuple[slice | int, int]] = {
    "ap": (slice(None), 0),
    "ap50": (0, 0),
    "ap75": (5, 0),
    "aps": (slice(None), 1),
    "apm": (slice(None), 2),
    "apl": (slice(None), 3),
}


class ImageInstances(NamedTuple):
    """Both sides of one image, as COCO's annotations without ids.

    Args:
        size: (H, W) in pixels.
        truths: Instances of the ground truth.
        detections: Predicted instances with scores.
    """

    size: tuple[int, ...] = ()
    truths: Sequence[dict[str, Any]] = ()
    detections: Sequence[dict[str, Any]] = ()


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
        InputError: A label is not that of a thing.
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
        segments: The map's; their areas and crowds are kept.
        categories: Those of things, in the order of labels.
    """
    return [
        {
            "category_id": categories[segments.labels[index]]["id"],
            "iscrowd": int(segments.crowds[index]),
            **mask_fields(encode_mask(id_map == segments.ids[index])),
            "area": int(segments.areas[index]),
        }
        for index in np.flatnonzero(segments.labels < len(categories))
    ]


def check_backend(name: str) -> None:
    """Raise InputError for an unknown backend."""
    if name not in BACKENDS:
        raise InputError(f"ap_backend={name!r} is unknown: choose from {', '.join(BACKENDS)}")


def average_precision(
    images: Sequence[ImageInstances], categories: Sequence[dict], backend: str = "hotcoco"
) -> dict[str, Any]:
    """Compute COCO's mask AP.

    Args:
        images: Both sides of each image, in a fixed order, since that breaks ties of scores.
        categories: Those of things.
        backend: A key of ``BACKENDS``.

    Returns:
        ``ap``, ``ap50``, ``ap75``, ``aps``, ``apm``, ``apl`` in 0..1 and ``per_class``: category
        id as text -> AP. NaN where the truth has no instance.
    """
    evaluation = _evaluated(images, categories, backend)
    with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[..., -1]
    figures = {name: _mean(precision[iou, ..., area]) for name, (iou, area) in _FIGURES.items()}
    classes = {str(c): _mean(precision[:, :, k, 0]) for k, c in enumerate(evaluation.params.catIds)}
    return {**figures, "per_class": {str(c["id"]): classes[str(c["id"])] for c in categories}}


def errors_by_kind(images: Sequence[ImageInstances], categories: Sequence[dict]) -> dict[str, Any]:
    """Return what each kind of error costs, by TIDE (Bolya et al., 2020), as hotcoco counts it.

    Args:
        images: As for :func:`average_precision`.
        categories: Those of things.

    Returns:
        ``ap_base``, AP50 in 0..1, and ``delta_ap`` and ``counts``, each kind of error -> AP50 that
        is gained without it, and its number.
    """
    return _evaluated(images, categories, "hotcoco").tide_errors(pos_thr=0.5, bg_thr=0.1)


def _evaluated(images: Sequence[ImageInstances], categories: Sequence[dict], backend: str) -> Any:
    """Return COCO's evaluation of masks, with its matches."""
    coco_module, evaluation_module = BACKENDS[backend]
    sizes = [image.size for image in images]
    with redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        new_coco = importlib.import_module(coco_module).COCO
        truth = _dataset(new_coco, sizes, [image.truths for image in images], categories)
        found = _dataset(new_coco, sizes, [image.detections for image in images], categories)
        evaluation = importlib.import_module(evaluation_module).COCOeval(truth, found, "segm")
        evaluation.evaluate()
    return evaluation


def _dataset(new_coco: type, sizes: Sequence, of_images: Sequence, categories: Sequence) -> Any:
    """One side as a COCO object; images and annotations get numbers as ids."""
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
    """Mean without COCO's -1, which stands for classes and sizes without an instance."""
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else float("nan")
