"""From a model's data sample, as a dict, to what is compared with the ground truth."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from mmproscale.datasets.formats.panoptic_png import labels_of
from mmproscale.errors import InputError
from mmproscale.evaluation.image_score import ImagePrediction, ImageScorer, LabelledMap
from mmproscale.evaluation.instance_quality import encode_detections

_SWITCHES = {
    "pred_panoptic_seg": "panoptic result: set panoptic_on=True in its test_cfg",
    "pred_sem_seg": "semantic result (pred_sem_seg): leave 'semantic' out of kinds",
    "pred_instances": "instance result: set instance_on=True in its test_cfg",
}


def batch_ids(data_batch: Any) -> list[Any] | None:
    """Ids of the images of a batch as the dataloader gave it; None where it does not say.

    With test-time augmentation it gives a list of data samples for each view.
    """
    samples = data_batch.get("data_samples") if isinstance(data_batch, dict) else None
    if samples and isinstance(samples[0], Sequence):
        samples = samples[0]
    if not isinstance(samples, Sequence) or any(s.get("img_id") is None for s in samples):
        return None
    return [sample.get("img_id") for sample in samples]


def prediction_of(sample: dict, scorer: ImageScorer) -> ImagePrediction:
    """The parts of a data sample that the scorer's kinds ask for.

    Raises:
        InputError: One is missing, has another form, or a label that the data has not; parts
            differ in size.
    """
    panoptic = semantic = None
    detections: list[dict[str, Any]] = []
    shapes = {}
    if "panoptic" in scorer.kinds:
        values, ignore_index = panoptic_map(sample)
        meaning: Callable = partial(
            labels_of, num_classes=scorer.num_classes, ignore_index=ignore_index
        )
        panoptic = LabelledMap(values, meaning)
        shapes["pred_panoptic_seg"] = values.shape
    if "semantic" in scorer.kinds:
        values, _ = _map(sample, "pred_sem_seg")
        semantic = LabelledMap(values, partial(_classes, num_classes=scorer.num_classes))
        shapes["pred_sem_seg"] = values.shape
    if "instance" in scorer.kinds:
        labels, scores, masks = _instances(sample)
        detections = encode_detections(labels, scores, masks, scorer.things)
        shapes["pred_instances"] = masks.shape[1:]
    if len(set(shapes.values())) > 1:
        raise InputError(f"results for image {sample['img_id']} differ in size: {shapes}")
    return ImagePrediction(next(iter(shapes.values())), panoptic, semantic, detections)


def panoptic_map(sample: dict) -> tuple[np.ndarray, int | None]:
    """The (H, W) panoptic map of a prediction, and its other label for void, if it has one."""
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
    """Labels (N,), scores (N,) and masks (N, H, W) bool."""
    part = _part(sample, "pred_instances")
    if "masks" not in part:
        raise InputError("the model gives boxes without masks: AP here is of masks")
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
    # NumPy knows no bfloat16, in which other fusion heads give scores under autocast.
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _classes(values: np.ndarray, num_classes: int) -> np.ndarray:
    """Labels of a semantic map, which has no void.

    Raises:
        InputError: A label that is no class.
    """
    wrong = values[(values < 0) | (values >= num_classes)]
    if len(wrong):
        raise InputError(
            f"semantic prediction holds label {wrong[0]} but the data has {num_classes} classes: "
            "set the model's num_things_classes and num_stuff_classes"
        )
    return values
