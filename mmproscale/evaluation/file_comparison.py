"""PQ's counts of two panoptic PNGs, which hotcoco decodes and compares: the fastest way."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hotcoco.panoptic import PanopticEval

from mmproscale.evaluation.panoptic_quality import COUNTS, IOU_UNIT

_NUMBER = {"id": 0, "image_id": 0}
_KEYS = ("id", "category_id")
_TRUE_KEYS = (*_KEYS, "area", "iscrowd")


class StoredMap(NamedTuple):
    """A panoptic PNG, and what the JSON says of its segments.

    `segments`: dicts with `id` and `category_id`; those of ground truth have `area`, in whole
    pixels, and if they are crowds `iscrowd`.
    """

    folder: Path
    file_name: str
    segments: Sequence[dict[str, Any]]

    @property
    def path(self) -> Path:
        """Where the PNG is."""
        return self.folder / self.file_name


def count_files(
    truth: StoredMap, prediction: StoredMap, categories: Sequence[dict[str, Any]]
) -> np.ndarray:
    """PQ's counts of one image, (C, 4) as ``match_segments``.

    Args:
        truth: The ground truth.
        prediction: The prediction.
        categories: In the order of labels.

    Raises:
        ValueError: A PNG can't be decoded; sizes differ; PNG and JSON of the prediction
            contradict each other.
    """
    # Ids of images may be names; hotcoco takes whole numbers only.
    image = {"file_name": truth.file_name, **_NUMBER}
    classes = [dict(id=c["id"], name=c["name"], isthing=int(c["isthing"])) for c in categories]
    sides = (
        {"images": [image], "annotations": [_annotation(truth, _TRUE_KEYS)], "categories": classes},
        {"annotations": [_annotation(prediction, _KEYS)]},
    )
    folders = dict(gt_folder=str(truth.folder), pred_folder=str(prediction.folder))
    try:
        evaluation = PanopticEval(*sides, **folders)
        evaluation.evaluate()
    except (KeyError, TypeError, OSError) as error:
        raise ValueError(error) from error
    per_class = evaluation.results()["per_class"]
    found = [per_class[category["id"]] for category in categories]
    return np.array(
        [[round(c["iou"] / IOU_UNIT), *(c[key] for key in COUNTS[1:])] for c in found], np.int64
    ).reshape(-1, len(COUNTS))


def is_sound(truth: StoredMap, categories: Sequence[dict[str, Any]]) -> bool:
    """Whether a ground truth's PNG holds the JSON's segments, no others, with their areas.

    As a prediction of itself it is then matched throughout, with an IoU of 1: the union is the
    JSON's area. Decoding the PNG ourselves would take twice as long.
    """
    # A crowd would not be matched.
    plain = truth._replace(segments=[segment | {"iscrowd": 0} for segment in truth.segments])
    try:
        counts = count_files(plain, plain, categories)
    except ValueError:
        return False
    of_class = Counter(segment["category_id"] for segment in plain.segments)
    expected = [
        [of_class[c["id"]] / IOU_UNIT, of_class[c["id"]], 0, 0]  # as COUNTS
        for c in categories
    ]
    return np.array_equal(counts, np.reshape(expected, counts.shape))


def _annotation(side: StoredMap, keys: Sequence[str]) -> dict[str, Any]:
    segments = [{key: s[key] for key in keys if key in s} for s in side.segments]
    return {"file_name": side.file_name, "segments_info": segments, **_NUMBER}
