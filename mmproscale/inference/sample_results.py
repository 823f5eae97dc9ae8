"""Results of an image, read from the data sample that a model returns."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from mmproscale.datasets.formats.panoptic_png import segments_of
from mmproscale.datasets.formats.rle import encode_masks
from mmproscale.errors import InputError
from mmproscale.inference.result_kinds import FIELDS
from mmproscale.inference.results import Instances, Result, Segment


def result_in(
    sample: BaseDataElement,
    image: np.ndarray,
    path: Path | None,
    categories: Sequence[dict[str, Any]],
    kinds: Sequence[str] = tuple(FIELDS),
) -> Result:
    """Return the results of one image that a model's data sample has.

    Args:
        sample: The data sample; its results have the image's size.
        image: (H, W, 3) RGB uint8.
        path: The image's file, which names the result.
        categories: In the order of labels.
        kinds: Kinds of results to take, where the sample has them.
    """
    found: dict[str, Any] = {}
    fields = {FIELDS[kind] for kind in kinds if FIELDS[kind] in sample}
    if FIELDS["panoptic"] in fields:
        found["panoptic"], found["segments"] = segments_in(sample.pred_panoptic_seg, categories)
    if FIELDS["semantic"] in fields:
        found["semantic"] = _labels(sample.pred_sem_seg)
    if FIELDS["instance"] in fields:
        found["instances"] = instances_in(sample.pred_instances, categories)
    return Result(image, path.stem if path else "", path, categories, **found)


def segments_in(
    panoptic: PixelData, categories: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, list[Segment]]:
    """Return the id map (H, W) and the segments of a model's panoptic result."""
    scores: dict[int, float] = {}
    if "segment_values" in panoptic:
        pairs = zip(panoptic.segment_values.tolist(), panoptic.segment_scores.tolist(), strict=True)
        for value, score in pairs:  # queries of one stuff class share a value
            scores[value] = max(score, scores.get(value, 0.0))
    id_map, found = segments_of(panoptic.sem_seg[0].cpu().numpy(), categories, scores=scores)
    return id_map, [Segment.from_coco(one, categories) for one in found]


def instances_in(found: InstanceData, categories: Sequence[dict[str, Any]]) -> Instances:
    """Return a model's instances or boxes.

    Raises:
        InputError: Boxes or scores are not finite; a label is not one of the classes.
    """
    found = found.cpu()
    boxes, scores = found.bboxes.float(), found.scores.float()
    if not (boxes.isfinite().all() and scores.isfinite().all()):
        raise InputError(
            "the model gives boxes or scores that are not finite: its weights are NaN or too "
            "large, so use a checkpoint from before the training diverged"
        )
    labels = found.labels.numpy()
    return Instances(
        labels,
        [categories[label]["name"] for label in labels],
        scores.numpy(),
        boxes.numpy(),
        [categories[label]["id"] for label in labels],
        encode_masks(found.masks.numpy()) if "masks" in found else None,
    )


def _labels(semantic: PixelData) -> np.ndarray:
    """Return labels (H, W); mmseg's models have them under ``data``, ours under ``sem_seg``."""
    labels = semantic.sem_seg if "sem_seg" in semantic else semantic.data
    return labels[0].cpu().numpy()
