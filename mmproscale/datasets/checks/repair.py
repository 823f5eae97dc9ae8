"""Repair of an annotation file: a mended copy, and a list of the changes.

Each rule mends one kind of slip in a way that a person would choose too. It takes one entry of a
list and returns the mended entry, the same entry, or None to leave it out. What has no such answer
stays, and the check of the copy reports it.
"""

from __future__ import annotations

import json
import os.path as osp
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_utils
from scipy import ndimage

from mmproscale.datasets.checks.annotation_faults import (
    BOX_TOLERANCE,
    first_by_id,
    is_image_id,
    path_faults,
    size_of,
)
from mmproscale.datasets.checks.dataset_check import DatasetFiles
from mmproscale.datasets.checks.instance_faults import mask_form_faults
from mmproscale.datasets.checks.lenient_instances import RULES, drawn, is_box, numbered
from mmproscale.datasets.formats.coco_json import list_faults, read_json
from mmproscale.datasets.formats.images import decode_image
from mmproscale.datasets.formats.panoptic_png import png_name, read_png_or_fault, tight_box
from mmproscale.errors import InputError
from mmproscale.utils.atomic_files import atomic_write_text
from mmproscale.utils.faults import Fault, is_finite, is_int, refuse
from mmproscale.utils.integer_maps import distinct

Entry = dict[str, Any]


@dataclass
class Context:
    """Files, and entries that were mended already, by id.

    Args:
        files: The dataset.
        images: Image id -> its entry.
        categories: Category id -> its entry.
    """

    files: DatasetFiles
    images: Mapping[Any, Entry]
    categories: Mapping[Any, Entry]

    def size_of(self, annotation: Entry) -> tuple[int, int] | None:
        """Return height and width of an annotation's image, where they are known."""
        image_id = annotation.get("image_id")
        image = self.images.get(image_id, {}) if is_image_id(image_id) else {}
        return size_of(image)


class Repair(NamedTuple):
    """Rule of the repair.

    Attributes:
        entries: List of the file: 'images', 'categories' or 'annotations'.
        kinds: 'panoptic', 'instances' or both, separated by a space.
        text: The change in words.
        mend: Takes an entry and the context.
    """

    entries: str
    kinds: str
    text: str
    mend: Callable[[Entry, Context], Entry | None]


def repair_dataset(files: DatasetFiles, out: str | Path) -> list[str]:
    """Write a mended copy of a dataset's annotation file, and return a line for each change.

    Args:
        files: The dataset; images and PNGs are read where an entry needs it, and never changed.
        out: The file to write.

    Raises:
        InputError: The file can't be read or is not COCO, or ``out`` exists.
    """
    if Path(out).exists():
        raise InputError(f"--repair {out} exists: name a new file for the mended copy")
    content = read_json(files.ann_file, "--ann")
    if isinstance(content, dict):
        content.setdefault("annotations", [])
    refuse(list_faults(content, files.ann_file))
    context = Context(files, {}, {})
    lines = []
    for rule in REPAIRS:
        if ("panoptic" if files.panoptic else "instances") not in rule.kinds.split():
            continue
        content[rule.entries], changed = _apply(rule, content[rule.entries], context)
        context.images = first_by_id(content["images"])
        context.categories = first_by_id(content["categories"])
        if changed:
            lines.append(f"{rule.text}: {len(changed)} (first: {changed[0]})")
    ids = [annotation.get("id") for annotation in content["annotations"]]
    if not files.panoptic and (len({*map(repr, ids)}) < len(ids) or 0 in ids or None in ids):
        content["annotations"] = numbered(content["annotations"])
        lines.append(f"ids of annotations from 1: {len(ids)}")
    atomic_write_text(out, json.dumps(content))
    return [*lines, f"wrote {out}"]


def _apply(rule: Repair, entries: list[Entry], context: Context) -> tuple[list[Entry], list[str]]:
    mended, changed = [], []
    for place, entry in enumerate(entries):
        result = rule.mend(entry, context)
        if result is not entry and repr(result) != repr(entry):  # 3 is equal to 3.0
            changed.append(f"{rule.entries}[{place}]")
        if result is not None:
            mended.append(result)
    return mended, changed


def _whole_numbers(*keys: str) -> Callable[[Entry, Context], Entry]:
    """Return a rule that reads '3' and 3.0 as 3."""

    def mend(entry: Entry, context: Context) -> Entry:
        found = {key: number for key in keys if (number := _whole(entry.get(key))) is not None}
        return entry | found

    return mend


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return int(value) if isinstance(value, float) and is_finite(value) and value % 1 == 0 else None


def _name(entry: Entry, context: Context) -> Entry:
    name = entry.get("name")
    return entry | {"name": name.strip()} if isinstance(name, str) else entry


def _file_name(entry: Entry, context: Context) -> Entry:
    """Write a path with '/', relative to the folder of images if the end of it is a file there."""
    name = entry.get("file_name")
    if not isinstance(name, str) or not any(path_faults(name, "", "")):
        return entry
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    found = [tail for tail in tails if osp.isfile(osp.join(context.files.img, tail))]
    return entry | {"file_name": found[0] if found else "/".join(parts)}


def _image_size(entry: Entry, context: Context) -> Entry:
    name = entry.get("file_name")
    if size_of(entry) or not isinstance(name, str):
        return entry
    path = Path(context.files.img) / name
    image = decode_image(path.read_bytes()) if osp.isfile(path) else None
    return (
        entry
        if image is None
        else entry | dict(zip(("height", "width"), image.shape, strict=False))
    )


def _reference(key: str) -> Callable[[Entry, Context], Entry]:
    """Return a rule that gives a reference the type of the id that it means."""

    def mend(entry: Entry, context: Context) -> Entry:
        known = context.images if key == "image_id" else context.categories
        value = entry.get(key)
        if is_image_id(value) and value in known:
            return entry
        other = next((i for i in (_whole(value), str(value)) if i in known), None)
        return entry if other is None else entry | {key: other}

    return mend


def _referred(entry: Entry, context: Context) -> Entry | None:
    image_id, category_id = entry.get("image_id"), entry.get("category_id", None)
    known = not isinstance(image_id, (list, dict)) and image_id in context.images
    if "segments_info" in entry:
        return entry if known else None
    known = known and not isinstance(category_id, (list, dict))
    return entry if known and category_id in context.categories else None


def _lenient(entry: Entry, context: Context) -> Entry:
    for rule in RULES:
        changed = rule.find(entry, context.size_of(entry))
        entry = entry if changed is None else changed
    return entry


def _sound_polygons(entry: Entry, context: Context) -> Entry | None:
    """Leave out polygons that can't be drawn, and an object of which none is left."""
    parts, size = entry.get("segmentation"), context.size_of(entry)
    if not isinstance(parts, list) or not parts or size is None:
        return entry
    sound = [p for p in parts if not any(mask_form_faults({"segmentation": [p]}, *size, "", ""))]
    if len(sound) == len(parts):
        return entry
    return entry | {"segmentation": sound} if sound else None


def _measures(entry: Entry, context: Context) -> Entry | None:
    """Compute box and area from the mask; without a mask clip the box to its image."""
    size = context.size_of(entry)
    rle = drawn(entry.get("segmentation"), size)
    if rle is not None:
        pixels = float(mask_utils.area(rle))
        tight = {"bbox": mask_utils.toBbox(rle).tolist(), "area": pixels}
        return _if_different(entry, tight) if pixels else None
    box = entry.get("bbox")
    if size is None or not is_box(box):
        return entry
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[0] + box[2], size[1]), min(box[1] + box[3], size[0])
    if right - left < 1 or bottom - top < 1:
        return None
    clipped = {"bbox": [left, top, right - left, bottom - top]}
    return _if_different(entry, clipped | {"area": (right - left) * (bottom - top)})


def _if_different(entry: Entry, values: Entry) -> Entry:
    """Take computed values only where the file's differ by more than a pixel of drawing."""
    box, area = entry.get("bbox"), entry.get("area")
    is_near = is_box(box) and np.allclose(box, values["bbox"], atol=BOX_TOLERANCE)
    if is_near and is_finite(area) and 0.5 * area <= values["area"] <= 2 * area:
        return entry
    return entry | values


def _of_png(entry: Entry, context: Context) -> Entry:
    """Compute areas and boxes from the PNG, and leave out segments that it lacks."""
    image_id, segments = entry.get("image_id"), entry.get("segments_info")
    image = context.images.get(image_id, {}) if is_image_id(image_id) else {}
    if not context.files.seg or not isinstance(segments, list):
        return entry
    names = image.get("file_name"), entry.get("file_name") or ""
    if not all(isinstance(name, str) for name in names) or not any(names):
        return entry
    png = png_name(image, entry)
    if any(path_faults(png, "", "")):
        return entry
    ids = read_png_or_fault(str(Path(context.files.seg) / png))
    if isinstance(ids, Fault) or not all(
        isinstance(s, dict) and is_int(s.get("id")) for s in segments
    ):
        return entry
    values, places = distinct(ids)
    boxes = ndimage.find_objects(places + 1)
    areas = np.bincount(places.ravel())
    found = {
        value: {"area": int(area), "bbox": tight_box(box)}
        for value, area, box in zip(values.tolist(), areas, boxes, strict=True)
    }
    kept = {s["id"]: s | found[s["id"]] for s in reversed(segments) if s["id"] in found}
    return entry | {"segments_info": list(reversed(kept.values()))}


BOTH = "panoptic instances"
REPAIRS: Iterable[Repair] = (
    Repair(
        "categories", BOTH, "ids of categories as whole numbers", _whole_numbers("id", "isthing")
    ),
    Repair("categories", BOTH, "names without spaces around them", _name),
    Repair("images", BOTH, "sizes as whole numbers", _whole_numbers("height", "width")),
    Repair("images", BOTH, "file names with '/', relative to the folder", _file_name),
    Repair("images", BOTH, "sizes read from the images", _image_size),
    Repair("annotations", BOTH, "image_id of the image's type", _reference("image_id")),
    Repair("annotations", "instances", "category_id of the type of ids", _reference("category_id")),
    Repair("annotations", BOTH, "left out, since image or category is unknown", _referred),
    Repair("annotations", "instances", "slips that readers accept too", _lenient),
    Repair("annotations", "instances", "polygons left out that can't be drawn", _sound_polygons),
    Repair("annotations", "instances", "box and area computed, or empty and left out", _measures),
    Repair("annotations", "panoptic", "segments measured in their PNG", _of_png),
)
