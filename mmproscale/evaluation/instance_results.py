"""Detections of masks in a file, in COCO's results format."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from mmproscale.datasets.checks.annotation_faults import image_reference_faults, missing_keys
from mmproscale.datasets.checks.instance_faults import mask_faults
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.errors import InputError
from mmproscale.evaluation.file_faults import first_of, score_faults
from mmproscale.evaluation.ground_truth import PanopticGroundTruth
from mmproscale.evaluation.instance_quality import described
from mmproscale.utils.faults import Fault, excerpt, is_int, refuse

KEYS = ("image_id", "category_id", "score", "segmentation")


def detections_by_image(
    path: str | Path, truth: PanopticGroundTruth
) -> Callable[[Any], list[dict[str, Any]]]:
    """Read detections of masks in COCO's results format; return what finds those of an image.

    Raises:
        InputError: The file is missing or is no such list; an image or category is not in the
            ground truth; a score is no number, a mask no RLE of its image's size.
    """
    content = read_json(path, "the file's name")
    if not isinstance(content, list):
        raise InputError(f"{path} is no list of COCO results: give what detectors write")
    things = {category["id"] for category in truth.categories[: truth.num_things]}
    faults = (
        _faults(entry, truth, things, str(path), f"[{place}]")
        for place, entry in enumerate(content)
    )
    refuse(first_of(chain.from_iterable(faults)))
    found: dict[Any, list[dict[str, Any]]] = {}
    for entry in content:
        detection = {"category_id": entry["category_id"], "score": float(entry["score"])}
        detection |= described(entry["segmentation"])
        found.setdefault(entry["image_id"], []).append(detection)
    return lambda image_id: found.get(image_id, [])


def _faults(
    entry: Any, truth: PanopticGroundTruth, things: set[int], file: str, record: str
) -> Iterator[Fault]:
    if not isinstance(entry, dict):
        problem = f"is {excerpt(entry)}, no object"
        yield Fault("result-type", file, record, problem, f"give {', '.join(KEYS)}")
        return
    missing = list(missing_keys(entry, KEYS, "result-key-missing", file, record))
    images = list(
        image_reference_faults(entry.get("image_id"), truth.annotations, file, f"{record}.image_id")
    )
    yield from missing or images
    if missing or images:
        return
    category = entry["category_id"]
    if not is_int(category) or category not in things:
        problem = f"is {excerpt(category)}, which is no thing of {truth.ann_file}"
        yield Fault("category-unknown", file, f"{record}.category_id", problem, "correct the id")
    yield from score_faults(entry["score"], file, f"{record}.score")
    yield from _mask_faults(entry, truth, file, record)


def _mask_faults(
    entry: dict[str, Any], truth: PanopticGroundTruth, file: str, record: str
) -> Iterator[Fault]:
    mask = entry["segmentation"]
    if not isinstance(mask, dict) or not mask:
        problem = f"is {excerpt(mask)}, no RLE"
        action = "give size=[height, width] and counts"
        yield Fault("mask-type", file, f"{record}.segmentation", problem, action)
        return
    height, width = truth.shape_of(entry["image_id"])
    yield from mask_faults({"segmentation": mask}, height, width, file, record)
