"""Instance files as readers take them: slips of labelling tools that no figure depends on.

Dataset, metric, converter and check read a file through this module, so that they agree. The rules
change nothing that could mean something else; the other slips are faults, which
:mod:`mmproscale.datasets.checks.repair` can mend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

from pycocotools import mask as mask_utils

from mmproscale.datasets.checks.annotation_faults import (
    BOX_TOLERANCE,
    first_by_id,
    is_image_id,
    size_of,
)
from mmproscale.datasets.checks.instance_faults import mask_form_faults
from mmproscale.utils.command_names import command
from mmproscale.utils.faults import Fault, excerpt, is_finite, is_int, is_number

# Of a box that is clipped to its image, at least this share must be in it.
LEAST_INSIDE = 0.5
Size = tuple[int, int] | None
"""Height and width of an annotation's image; None where it has none."""


class Rule(NamedTuple):
    """Slip that readers accept.

    Attributes:
        kind: Kind of its note; empty for no note.
        field: Key of the annotation.
        find: Returns the changed annotation, or None where there is no such slip.
        problem: The note's text.
    """

    kind: str
    field: str
    find: Callable[[dict, Size], dict | None]
    problem: str


def read_leniently(content: dict[str, Any], file: str) -> tuple[dict[str, Any], list[Fault]]:
    """Return an instance file's content as readers take it, and a note for each change.

    Args:
        content: The parsed file, which has its three lists; it stays as it is.
        file: Name of the file.
    """
    images, notes, annotations = first_by_id(content["images"]), [], []
    for place, annotation in enumerate(content["annotations"]):
        size = _size_of(annotation, images)
        for rule in RULES:
            changed = rule.find(annotation, size)
            if changed is None:
                continue
            if rule.kind:
                value = excerpt(annotation.get(rule.field))
                field, problem = f"annotations[{place}].{rule.field}", rule.problem.format(value)
                action = f"{command('check-dataset')} --repair writes it so"
                notes.append(Fault(rule.kind, file, field, problem, action, note=True))
            annotation = changed
        annotations.append(annotation)
    return content | {"annotations": annotations}, notes


def _size_of(annotation: Mapping, images: Mapping) -> Size:
    image_id = annotation.get("image_id")
    image = images.get(image_id, {}) if is_image_id(image_id) else {}
    return size_of(image)


def numbered(annotations: list[dict]) -> list[dict]:
    """Return annotations with the ids 1, 2, 3 and so on.

    pycocotools takes an object with the id 0 for unmatched, and keeps one of those with equal ids.
    """
    return [annotation | {"id": number} for number, annotation in enumerate(annotations, start=1)]


def _without_mask(annotation: dict, size: Size) -> dict | None:
    if "segmentation" in annotation and annotation["segmentation"] in (None, [], {}, ""):
        return {key: value for key, value in annotation.items() if key != "segmentation"}
    return None


def _flat(annotation: dict, size: Size) -> dict | None:
    outline = annotation.get("segmentation")
    if isinstance(outline, list) and len(outline) >= 6 and all(map(is_number, outline)):
        return annotation | {"segmentation": [outline]}
    return None


def _slivers(annotation: dict, size: Size) -> dict | None:
    parts = annotation.get("segmentation")
    if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
        return None
    whole = [part for part in parts if len(part) >= 6]
    return annotation | {"segmentation": whole} if 0 < len(whole) < len(parts) else None


def _crowd_flag(annotation: dict, size: Size) -> dict | None:
    flag = annotation.get("iscrowd")
    return (
        annotation | {"iscrowd": int(bool(flag))}
        if flag is None or isinstance(flag, bool)
        else None
    )


def _clipped(annotation: dict, size: Size) -> dict | None:
    box = annotation.get("bbox")
    if size is None or not is_box(box):
        return None
    x, y, w, h = box
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, size[1]), min(y + h, size[0])
    out = max(left - x, top - y, x + w - right, y + h - bottom)
    inside = max(right - left, 0) * max(bottom - top, 0)
    if out <= BOX_TOLERANCE or min(w, h) <= 0 or inside < LEAST_INSIDE * w * h:
        return None
    return annotation | {"bbox": [left, top, right - left, bottom - top]}


def _computed(annotation: dict, size: Size) -> dict | None:
    """Fill in a box or an area that is missing."""
    lacking = {"bbox", "area"} - annotation.keys()
    if not lacking:
        return None
    rle = drawn(annotation.get("segmentation"), size)
    if rle is not None:
        found = {"bbox": mask_utils.toBbox(rle).tolist(), "area": float(mask_utils.area(rle))}
        return annotation | {key: found[key] for key in lacking}
    if "bbox" in annotation and is_box(annotation["bbox"]):
        return annotation | {"area": annotation["bbox"][2] * annotation["bbox"][3]}
    return None


def is_box(box: Any) -> TypeGuard[list[float]]:
    """Tell whether a value is four finite numbers."""
    return isinstance(box, list) and len(box) == 4 and all(map(is_finite, box))


def drawn(outline: Any, size: Size) -> dict[str, Any] | None:
    """Return COCO's run-length code of a sound ``segmentation``, else None."""
    if size is None or any(mask_form_faults({"segmentation": outline}, *size, "", "")):
        return None
    if isinstance(outline, dict) and isinstance(outline["counts"], str):
        return outline
    rle = mask_utils.frPyObjects(outline, *size)
    return mask_utils.merge(rle) if isinstance(rle, list) else rle


RULES = (
    Rule("", "segmentation", _without_mask, ""),
    Rule(
        "polygon-flat",
        "segmentation",
        _flat,
        "is {}, not a list of polygons: it is read as one",
    ),
    Rule(
        "polygon-sliver",
        "segmentation",
        _slivers,
        "{} has parts of under 3 points: they are left out",
    ),
    Rule("", "iscrowd", _crowd_flag, ""),
    Rule("box-clipped", "bbox", _clipped, "is {}, partly outside its image: it is clipped"),
    Rule("", "area", _computed, ""),
)


def zero_id_notes(annotations: list[dict], file: str) -> Iterator[Fault]:
    """Yield the note of an annotation with the id 0."""
    for place, annotation in enumerate(annotations):
        if is_int(annotation.get("id")) and annotation["id"] == 0:
            problem = "is 0, which COCO's own evaluation takes for 'no match': AP would be too low"
            action = "mmproscale.CocoMetric numbers again; for other tools count from 1 (--repair)"
            yield Fault(
                "annotation-id-zero", file, f"annotations[{place}].id", problem, action, True
            )
