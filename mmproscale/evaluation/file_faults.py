"""What is wrong with annotation files that are to be scored: of the faults that training refuses,
those that bear on a figure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmproscale.datasets.checks.instance_faults import instance_faults
from mmproscale.datasets.checks.panoptic_faults import annotation_list_faults, panoptic_faults
from mmproscale.datasets.formats.coco_json import list_faults
from mmproscale.utils.faults import Fault, excerpt, is_finite

# Keys that no figure reads. Predictions are measured by their PNGs.
_UNREAD = {"bbox", "color"}
_UNREAD_OF_PREDICTIONS = _UNREAD | {"area", "iscrowd"}
# `PanopticResults` looks up the categories of the images that are scored.
_ALLOWED_OF_PREDICTIONS = ("annotation-without-image", "category-unknown", "png-named-twice")
_UNREAD_OF_INSTANCES = _UNREAD | {"file_name"}


def truth_faults(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    """Faults of a COCO panoptic JSON as ground truth.

    Args:
        content: The parsed file, whose three lists are there (see `list_faults`).
        file: Its name.
    """
    yield from _bearing(panoptic_faults(content, file), _UNREAD)
    for record, segment in _segments(content["annotations"]):
        if is_finite(segment.get("area")) and segment["area"] % 1:
            problem = f"is {segment['area']}, no whole number of pixels"
            yield Fault("area-value", file, f"{record}.area", problem, "count its pixels again")


def prediction_faults(
    annotations: list[Any], truth: Mapping[str, list[dict]], file: str
) -> Iterator[Fault]:
    """Faults of the annotations of a COCO panoptic JSON of predictions.

    Images that the truth lacks are none: it may be a part of the data set.

    Args:
        annotations: The JSON's list.
        truth: ``images`` and ``categories`` of the ground truth.
        file: The JSON's name.
    """
    content = {**truth, "annotations": annotations}
    wrong = list(list_faults(content, file))
    yield from wrong
    if wrong:
        return
    for fault in _bearing(annotation_list_faults(content, file), _UNREAD_OF_PREDICTIONS):
        if fault.kind not in _ALLOWED_OF_PREDICTIONS:
            yield fault
    for record, segment in _segments(annotations):
        yield from score_faults(segment.get("score", 1.0), file, f"{record}.score")


def instance_truth_faults(content: Any, file: str) -> Iterator[Fault]:
    """Faults of a COCO instances JSON as ground truth, as far as they show without its masks."""
    wrong = list(list_faults(content, file))
    yield from wrong or _bearing(instance_faults(content, file), _UNREAD_OF_INSTANCES)


def score_faults(score: Any, file: str, field: str) -> Iterator[Fault]:
    """The fault of a score that is no finite number."""
    if not is_finite(score):
        problem = f"is {excerpt(score)}, no finite number"
        yield Fault("score-value", file, field, problem, "give a confidence from 0 to 1")


def first_of(faults: Iterator[Fault]) -> Sequence[Fault]:
    """The first fault alone, for files that tools/check_dataset.py does not know."""
    return [fault for fault, _ in zip(faults, range(1), strict=False)]


def _bearing(faults: Iterator[Fault], unread: set[str]) -> Iterator[Fault]:
    for fault in faults:
        key = fault.field.rpartition(".")[2]
        # A size that is not stated is the PNG's.
        unstated = fault.kind == "image-key-missing" and key in ("height", "width")
        if key not in unread and not unstated:
            yield fault


def _segments(annotations: Sequence[dict]) -> Iterator[tuple[str, dict]]:
    """Every segment that is a dict, and where it stands."""
    for place, annotation in enumerate(annotations):
        segments = annotation.get("segments_info")
        for index, segment in enumerate(segments if isinstance(segments, list) else ()):
            if isinstance(segment, dict):
                yield f"annotations[{place}].segments_info[{index}]", segment
