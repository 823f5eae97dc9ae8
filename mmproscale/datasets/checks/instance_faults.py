"""Faults of a COCO instance annotation file: its JSON, its polygons and RLE masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

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
    size_of,
)
from mmproscale.datasets.checks.categories import category_faults
from mmproscale.utils.command_names import command
from mmproscale.utils.faults import Fault, excerpt, is_finite, is_int, is_number

KEYS = ("image_id", "category_id", "bbox", "area")  # COCO's id is numbered again
# Polygons are drawn by hand and measured in several ways: only gross differences are faults.
LEAST_OVERLAP = 0.5
MOST_AREA_RATIO = 2.0
# Characters of one count of a compressed RLE: 35 bits, where pycocotools' counts have 32.
LONGEST_COUNT = 7


def instance_faults(
    content: Mapping[str, list[dict]],
    file: str,
    need_annotations: bool = False,
    need_masks: bool | None = None,
) -> Iterator[Fault]:
    """Yield all faults of an instance file that show without drawing a mask.

    Args:
        content: the parsed file, which has its three lists (see `list_faults`), as
            `read_leniently` returns it.
        file: name of the file.
        need_annotations: whether there must be an instance, as for training.
        need_masks: whether each object needs a mask: not for a detector; None where no model is
            known, for a fault only if some objects have a mask and others not.
    """
    if any("segments_info" in annotation for annotation in content["annotations"][:1]):
        problem = "has 'segments_info': this is COCO panoptic, not instances"
        action = "give the instance JSON (instances_*.json), or the folder of the PNGs (--seg) too"
        yield Fault("panoptic-not-instances", file, "annotations[0]", problem, action)
        return
    yield from category_faults(content["categories"], file, panoptic=False)
    yield from image_list_faults(content["images"], file)
    images, categories = first_by_id(content["images"]), first_by_id(content["categories"])
    ids = RepeatedValues("annotation-id-twice", "annotations have one id")
    if need_masks is None:
        need_masks = any(annotation.get("segmentation") for annotation in content["annotations"])
    for place, annotation in enumerate(content["annotations"]):
        record = f"annotations[{place}]"
        yield from missing_keys(annotation, KEYS, "annotation-key-missing", file, record)
        if is_image_id(annotation.get("id")):
            yield from ids.faults(annotation["id"], file, f"{record}.id")
        yield from _values(annotation, images, categories, need_masks, file, record)
    if need_annotations and all(a.get("iscrowd") for a in content["annotations"]):
        yield no_object("no-instance", content["annotations"], content["images"], file)


def _values(
    annotation: Mapping,
    images: Mapping,
    categories: Mapping,
    need_mask: bool,
    file: str,
    record: str,
) -> Iterator[Fault]:
    image_id = annotation.get("image_id")
    if "image_id" in annotation:
        yield from image_reference_faults(image_id, images, file, f"{record}.image_id")
    if "category_id" in annotation:
        owner = partial(_annotation_text, annotation)
        value, field = annotation["category_id"], f"{record}.category_id"
        yield from category_reference_faults(value, categories, file, field, owner)
    image = images.get(image_id, {}) if is_image_id(image_id) else {}
    # mmdet leaves out empty boxes and masks, and COCO itself has a few of these.
    if size := size_of(image):
        height, width = size
        if "bbox" in annotation:
            box, field = annotation["bbox"], f"{record}.bbox"
            yield from box_faults(box, width, height, file, field, empty_is_note=True)
        for fault in mask_form_faults(annotation, height, width, file, record):
            boxes_do = fault.kind == "mask-missing" and not need_mask
            yield replace(fault, note=True) if boxes_do else fault
    if "area" in annotation:
        yield from area_faults(annotation["area"], file, f"{record}.area", empty_is_note=True)
    yield from crowd_faults(annotation, file, record)


def _annotation_text(annotation: Mapping) -> str:
    image, number = excerpt(annotation.get("image_id")), excerpt(annotation.get("id"))
    return f"annotation {number} of image {image}"


def mask_faults(
    annotation: Mapping, height: int, width: int, file: str, record: str
) -> Iterator[Fault]:
    """Yield faults of an annotation's `segmentation`, or of its area and box compared with it.

    Args:
        annotation: the annotation, whose other keys are sound; `bbox` and `area` are compared if
            present.
        height: height of the image in pixels.
        width: width of the image in pixels.
        file: name of the annotation file.
        record: place of the annotation in the file.
    """
    faults = list(mask_form_faults(annotation, height, width, file, record))
    yield from faults or _against_mask(annotation, height, width, file, record)


def mask_form_faults(
    annotation: Mapping, height: int, width: int, file: str, record: str
) -> Iterator[Fault]:
    """Yield faults of an annotation's `segmentation` that show before it is drawn."""
    mask, field = annotation.get("segmentation"), f"{record}.segmentation"
    if not mask:
        action = "draw the object, or remove it: segmentation needs its mask, a detector does not"
        yield Fault("mask-missing", file, field, "is missing or empty", action)
        return
    check = _polygons if isinstance(mask, list) else _rle
    yield from check(mask, height, width, file, field)


def _polygons(polygons: list, height: int, width: int, file: str, field: str) -> Iterator[Fault]:
    side = max(height, width)
    for place, polygon in enumerate(polygons):
        if not isinstance(polygon, list):
            action = "give a list of polygons, each x, y, x, y, ..."
            yield Fault("polygon-type", file, field, f"is {excerpt(polygons)}", action)
            return
        if not _is_drawable(polygon, side):
            yield _polygon(polygon, height, width, file, f"{field}[{place}]")


def _is_drawable(polygon: list, side: int) -> bool:
    """Tell whether a polygon has three points or more and none far outside (without a loop)."""
    if len(polygon) < 6 or len(polygon) % 2 or not set(map(type, polygon)) <= {int, float}:
        return False
    # A NaN is neither below nor above, but the sum has it too.
    return min(polygon) >= -side and max(polygon) <= 2 * side and is_finite(sum(polygon))


def _polygon(polygon: list, height: int, width: int, file: str, where: str) -> Fault:
    """Return the fault of a polygon that is not drawable."""
    if not all(map(is_number, polygon)):
        return Fault("polygon-type", file, where, f"is {excerpt(polygon)}", "list x, y, x, y, ...")
    if not all(map(is_finite, polygon)):
        problem = f"is {excerpt(polygon)}, not finite"
        return Fault("polygon-not-finite", file, where, problem, "remove or redraw it")
    if len(polygon) % 2:
        problem = f"has {len(polygon)} numbers, an odd count"
        return Fault("polygon-odd", file, where, problem, "list x, y, x, y, ...")
    if len(polygon) < 6:
        problem = f"has {len(polygon) // 2} points, and a polygon needs 3"
        return Fault("polygon-short", file, where, problem, "remove or redraw it")
    # Drawing it may take all memory.
    problem = f"is {excerpt(polygon)}, far outside its image of {width}x{height}"
    return Fault("polygon-outside", file, where, problem, "remove or redraw it")


def _rle(mask: Any, height: int, width: int, file: str, field: str) -> Iterator[Fault]:
    action = "give polygons, or size=[height, width] and counts"
    if not isinstance(mask, dict) or not {"size", "counts"} <= mask.keys():
        yield Fault(
            "mask-type", file, field, f"is {excerpt(mask)}, neither polygons nor RLE", action
        )
    elif mask["size"] != [height, width] or not all(map(is_int, mask["size"])):
        problem = f"has size {excerpt(mask['size'])} but its image is [{height}, {width}]"
        yield Fault("rle-size", file, field, problem, "use [height, width] of the image")
    elif rle_pixels(mask["counts"]) != height * width:
        action = "write it again with pycocotools"
        yield Fault("rle-counts", file, field, f"is not an RLE mask of {width}x{height}", action)


def rle_pixels(counts: Any) -> int:
    """Return how many pixels the counts of an RLE cover, or -1 if they are not sound.

    pycocotools itself reads beyond the end of a string that was cut.

    Args:
        counts: a string (compressed) or a list of whole numbers.
    """
    if isinstance(counts, str):
        return _pixels_of(counts)
    if not isinstance(counts, list) or not all(is_int(count) and count >= 0 for count in counts):
        return -1
    return sum(counts)


def _pixels_of(counts: str) -> int:
    """Return how many pixels a compressed RLE covers, or -1.

    The code is that of maskApi.c. Each character holds six bits, added to 48: five of a count, and
    one that is set where more follow. From the third on, a count is stored as its difference to the
    last but one.
    """
    codes = np.frombuffer(counts.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return -1
    ends = np.flatnonzero((codes & 32) == 0) + 1
    starts = np.r_[0, ends[:-1]]
    lengths = ends - starts
    if lengths.max() > LONGEST_COUNT:
        return -1
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends - 1] & 16, 1 << 5 * lengths, 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return int(runs.sum()) if runs.min() >= 0 else -1


def _against_mask(
    annotation: Mapping, height: int, width: int, file: str, record: str
) -> Iterator[Fault]:
    mask = annotation["segmentation"]
    compressed = isinstance(mask, dict) and isinstance(mask["counts"], str)
    rle = mask if compressed else mask_utils.frPyObjects(mask, height, width)
    rle = mask_utils.merge(rle) if isinstance(rle, list) else rle
    pixels, tight = float(mask_utils.area(rle)), mask_utils.toBbox(rle).tolist()
    area, box = annotation.get("area", pixels), annotation.get("bbox", tight)
    difference, perimeter = abs(area - pixels), 2 * (tight[2] + tight[3])
    if difference > perimeter and max(area, pixels) > MOST_AREA_RATIO * min(area, pixels):
        problem = f"is {area} but its mask has {pixels:.0f} pixels"
        action = "compute it from the mask: AP by size of objects uses it"
        yield Fault("instance-area", file, f"{record}.area", problem, action, note=True)
    if min(*box[2:], *tight[2:]) < 1:
        return
    fitting = [tight]
    if isinstance(mask, list):  # label tools write the outline's box; thin parts have no pixel
        points = np.concatenate([np.reshape(outline, (-1, 2)) for outline in mask])
        fitting.append([*points.min(0), *np.ptp(points, 0)])
    if mask_utils.iou([box], fitting, [0] * len(fitting)).max() < LEAST_OVERLAP:
        problem = f"is {excerpt(box)} but its mask lies in {tight}"
        action = f"compute it from the mask ({command('check-dataset')} --repair does)"
        yield Fault("instance-box", file, f"{record}.bbox", problem, action)


def instance_notes(content: Mapping[str, list[dict]], file: str) -> Iterator[Fault]:
    """Yield notes on images without an object, on files named twice, and on crowds."""
    used = {a.get("image_id") for a in content["annotations"] if is_image_id(a.get("image_id"))}
    names = RepeatedValues("image-named-twice", "images are one file", note=True)
    for place, image in enumerate(content["images"]):
        if isinstance(image.get("file_name"), str):
            yield from names.faults(image["file_name"], file, f"images[{place}].file_name")
        if is_image_id(image.get("id")) and image["id"] not in used:
            problem = f"({excerpt(image.get('file_name'))}) has no object"
            field, action = f"images[{place}]", "filter_empty_gt leaves it out"
            yield Fault("image-without-annotation", file, field, problem, action, note=True)
    yield from crowd_notes(content["annotations"], content["categories"], file)
