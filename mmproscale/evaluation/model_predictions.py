"""Predictions of a model: its data samples, as dicts, in the form that is scored."""

from functools import partial
from typing import Any

import numpy as np
import torch

from mmproscale.datasets.formats.panoptic_png import labels_of
from mmproscale.errors import InputError
from mmproscale.evaluation.average_precision import encode_detections
from mmproscale.evaluation.image_score import ImagePrediction, ImageScorer, LabelledMap

_SWITCHES = {
    "pred_panoptic_seg": "panoptic result: set panoptic_on=True in its test_cfg",
    "pred_sem_seg": "semantic result (pred_sem_seg): leave 'semantic' out of kinds",
    "pred_instances": "instance result: set instance_on=True in its test_cfg",
}


def prediction_of(sample: dict, scorer: ImageScorer) -> ImagePrediction:
    """Return the parts of a data sample that belong to the scorer's kinds.

    Raises:
        InputError: A part is missing, has another form, or a label that the data has not; parts
            differ in size.
    """
    maps: dict[str, LabelledMap] = {}
    detections: list[dict[str, Any]] = []
    shapes = {}
    if "panoptic" in scorer.kinds:
        values, ignore_index = panoptic_map(sample)
        segment_labels = partial(
            labels_of, num_classes=scorer.num_classes, ignore_index=ignore_index
        )
        maps["panoptic"] = LabelledMap(values, segment_labels)
        shapes["pred_panoptic_seg"] = values.shape
    if "semantic" in scorer.kinds:
        values, _ = _map(sample, "pred_sem_seg")
        maps["semantic"] = LabelledMap(values, partial(_classes, num_classes=scorer.num_classes))
        shapes["pred_sem_seg"] = values.shape
    if "instance" in scorer.kinds:
        labels, scores, masks = _instances(sample)
        detections = encode_detections(labels, scores, masks, scorer.truth.things)
        shapes["pred_instances"] = masks.shape[1:]
    if len(set(shapes.values())) > 1:
        raise InputError(f"results for image {sample['img_id']} differ in size: {shapes}")
    return ImagePrediction(next(iter(shapes.values())), maps, detections)


def panoptic_map(sample: dict) -> tuple[np.ndarray, int | None]:
    """Return the (H, W) panoptic map of a prediction, and its other label for void, if any."""
    return _map(sample, "pred_panoptic_seg")


def _map(sample: dict, key: str) -> tuple[np.ndarray, int | None]:
    part = _part(sample, key)
    values = _array(part["sem_seg"])
    if values.ndim != 3 or len(values) != 1 or values.dtype.kind not in "iu":
        raise InputError(
            f"{key}.sem_seg of image {sample['img_id']} is {values.dtype} {values.shape}: expected "
            "(1, H, W) labels"
        )
    return values[0], part.get("ignore_index")


def _instances(sample: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (N,), scores (N,) and masks (N, H, W) bool."""
    part = _part(sample, "pred_instances")
    if "masks" not in part:
        raise InputError("the model gives boxes without masks, but this AP is of masks")
    masks = _array(part["masks"])
    if masks.ndim != 3:
        raise InputError(
            f"pred_instances.masks of image {sample['img_id']} is {masks.shape}: expected (N, H, W)"
        )
    return _array(part["labels"]), _array(part["scores"]), masks.astype(bool, copy=False)


def _part(sample: dict, key: str) -> dict:
    if key not in sample:
        raise InputError(f"the model gives no {_SWITCHES[key]}")
    return sample[key]


def _array(values: Any) -> np.ndarray:
    values = torch.as_tensor(values).cpu()
    # NumPy has no bfloat16, in which other fusion heads give scores under autocast.
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _classes(values: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the labels of a semantic map, which has no void.

    Raises:
        InputError: A label is not a class.
    """
    wrong = values[(values < 0) | (values >= num_classes)]
    if len(wrong):
        raise InputError(
            f"semantic prediction holds label {wrong[0]} but the data has {num_classes} classes: "
            "set the model's num_things_classes and num_stuff_classes"
        )
    return values
