"""Faults of a COCO panoptic annotation file that show in its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mmproscale.datasets.checks.annotation_faults import (
    RepeatedValues,
    area_faults,
    box_faults,
    category_reference_faults,
    crowd_faults,
    crowd_notes,
    first_by_id,
    image_list_faults,
    image_reference_faults,
    is_image_id,
    missing_keys,
    no_object,
    path_faults,
    size_of,
)
from mmproscale.datasets.checks.categories import category_faults
from mmproscale.datasets.formats.panoptic_png import MAX_ID
from mmproscale.utils.faults import Fault, excerpt, is_int

SEGMENT_KEYS = ("id", "category_id", "bbox", "area")


def panoptic_faults(
    content: Mapping[str, list[dict]], file: str, need_annotations: bool = True
) -> Iterator[Fault]:
    """Yield all faults of a panoptic file whose three lists are there (see `list_faults`).

    Args:
        content: the parsed file.
        file: name of the file.
        need_annotations: False to accept images without ground truth (a test set).
    """
    yield from category_faults(content["categories"], file)
    yield from image_list_faults(content["images"], file)
    yield from annotation_list_faults(content, file)
    annotations, images = content["annotations"], content["images"]
    segments = _all_segments(annotations)
    wrong_type = any(not isinstance(a.get("segments_info"), list) for a in annotations)
    if (
        all(s.get("iscrowd") for s in segments)
        and not wrong_type
        and (annotations or need_annotations)
    ):
        yield no_object("no-segment", segments, images, file)


def _all_segments(annotations: Sequence[Mapping]) -> list[dict]:
    lists = (a.get("segments_info") for a in annotations)
    return [
        s for entries in lists if isinstance(entries, list) for s in entries if isinstance(s, dict)
    ]


def annotation_list_faults(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    """Yield faults of `annotations` and the segments in them."""
    first = next(iter(content["annotations"]), {})
    if "segments_info" not in first and "segmentation" in first:
        problem = "has 'segmentation' and no 'segments_info': this is COCO instances, not panoptic"
        action = "give the panoptic JSON (panoptic_*.json)"
        yield Fault("instances-not-panoptic", file, "annotations[0]", problem, action)
        return
    images, categories = first_by_id(content["images"]), first_by_id(content["categories"])
    annotated = RepeatedValues("annotations-of-one-image", "annotations of one image")
    pngs = RepeatedValues("png-named-twice", "annotations share a PNG")
    for place, annotation in enumerate(content["annotations"]):
        record = f"annotations[{place}]"
        image_id = annotation.get("image_id")
        yield from _annotation_keys(annotation, file, record)
        if "image_id" in annotation:
            found = list(image_reference_faults(image_id, images, file, f"{record}.image_id"))
            yield from found or annotated.faults(image_id, file, f"{record}.image_id")
        if annotation.get("file_name") is not None:
            field = f"{record}.file_name"
            found = list(path_faults(annotation["file_name"], file, field))
            yield from found or pngs.faults(annotation["file_name"], file, field)
        if isinstance(annotation.get("segments_info"), list):
            image = images.get(image_id, {}) if is_image_id(image_id) else {}
            yield from _segments(annotation["segments_info"], image, categories, file, record)


def _annotation_keys(annotation: Mapping, file: str, record: str) -> Iterator[Fault]:
    keys = ("image_id", "segments_info")
    for fault in missing_keys(annotation, keys, "annotation-key-missing", file, record):
        problem = f"is missing (annotation of image {excerpt(annotation.get('image_id'))})"
        yield Fault(fault.kind, file, fault.field, problem, fault.action)
    segments = annotation.get("segments_info", [])
    if not isinstance(segments, list):
        field, problem = f"{record}.segments_info", f"is {excerpt(segments)}, not a list"
        yield Fault("segments-type", file, field, problem, "give a list of segments")


def _segments(
    segments: list[Any], image: Mapping, categories: Mapping, file: str, record: str
) -> Iterator[Fault]:
    ids = RepeatedValues("segment-id-twice", "segments of one image have one id")
    for place, segment in enumerate(segments):
        field = f"{record}.segments_info[{place}]"
        if not isinstance(segment, dict):
            problem = f"is {excerpt(segment)}, not an object"
            yield Fault("segments-type", file, field, problem, "give a list of segments")
            continue
        yield from missing_keys(segment, SEGMENT_KEYS, "segment-key-missing", file, field)
        yield from _segment_id(segment, ids, file, f"{field}.id")
        yield from _segment_values(segment, image, categories, file, field)


def _segment_id(segment: Mapping, ids: RepeatedValues, file: str, field: str) -> Iterator[Fault]:
    if "id" not in segment:
        return
    value = segment["id"]
    if not is_int(value) or not 0 < value <= MAX_ID:
        problem = f"is {excerpt(value)}, not an id that a PNG can hold (0 is void)"
        yield Fault("segment-id-range", file, field, problem, f"use 1 to {MAX_ID}")
    else:
        yield from ids.faults(value, file, field)


def _segment_values(
    segment: Mapping, image: Mapping, categories: Mapping, file: str, record: str
) -> Iterator[Fault]:
    if "category_id" in segment:
        value, field = segment["category_id"], f"{record}.category_id"
        owner = partial(_segment_text, segment, image)
        yield from category_reference_faults(value, categories, file, field, owner)
    size = size_of(image)
    if "bbox" in segment and size is not None:
        yield from box_faults(segment["bbox"], *size[::-1], file, f"{record}.bbox")
    if "area" in segment:
        yield from area_faults(segment["area"], file, f"{record}.area")
    yield from crowd_faults(segment, file, record)


def _segment_text(segment: Mapping, image: Mapping) -> str:
    return f"segment {excerpt(segment.get('id'))} of {excerpt(image.get('file_name'))}"


def panoptic_notes(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    """Yield notes on a file whose three lists are there: facts that do not stop training."""
    flags = [bool(category.get("isthing")) for category in content["categories"]]
    if flags != sorted(flags, reverse=True):
        problem = "lists stuff before things: mmdet's CocoPanopticDataset would mislabel it"
        action = "use mmproscale.PanopticDataset, which orders things first"
        yield Fault("stuff-first", file, "categories", problem, action, note=True)
    yield from _image_notes(content, file)
    yield from _stuff_notes(content, file)
    yield from _case_notes(content, file)
    yield from crowd_notes(_all_segments(content["annotations"]), content["categories"], file)


def _image_notes(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    annotations = {
        a["image_id"]: a for a in content["annotations"] if is_image_id(a.get("image_id"))
    }
    names = RepeatedValues("image-named-twice", "images are one file", note=True)
    for place, image in enumerate(content["images"]):
        record, image_id = f"images[{place}]", image.get("id")
        if isinstance(image.get("file_name"), str):
            yield from names.faults(image["file_name"], file, f"{record}.file_name")
        if not is_image_id(image_id):
            continue
        name = excerpt(image.get("file_name"))
        if image_id not in annotations:
            kind, problem = "image-without-annotation", f"({name}) has no annotation"
            yield Fault(kind, file, record, problem, "it is not trained on", note=True)
        elif annotations[image_id].get("segments_info") == []:
            kind, problem = "image-without-segments", f"({name}) has no segment"
            yield Fault(kind, file, record, problem, "filter_empty_gt leaves it out", note=True)


def _stuff_notes(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    """Note stuff classes with several segments in an image, of which matching finds only one."""
    stuff = {c["id"] for c in content["categories"] if is_int(c.get("id")) and not c.get("isthing")}
    for place, annotation in enumerate(content["annotations"]):
        entries = annotation.get("segments_info")
        record = f"annotations[{place}].segments_info"
        first: dict[Any, int] = {}
        for number, segment in enumerate(entries if isinstance(entries, list) else ()):
            value = segment.get("category_id") if isinstance(segment, dict) else None
            if is_int(value) and value in stuff and first.setdefault(value, number) != number:
                problem = f"is of stuff class {value}, as is {record}[{first[value]}]"
                action = "give all pixels of a stuff class one id"
                field = f"{record}[{number}].category_id"
                yield Fault("stuff-in-parts", file, field, problem, action, note=True)


def _case_notes(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    for key, name in (("images", "file_name"), ("categories", "name")):
        spellings: dict[str, str] = {}
        for place, entry in enumerate(content[key]):
            text = entry.get(name)
            if not isinstance(text, str):
                continue
            first = spellings.setdefault(text.lower(), text)
            if first != text:
                problem = f"is {excerpt(text)}, and another is {excerpt(first)}: only case differs"
                action = "rename one before it meets a disk or reader without case"
                field = f"{key}[{place}].{name}"
                yield Fault("names-differ-in-case", file, field, problem, action, note=True)
