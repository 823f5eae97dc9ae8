"""What COCO's annotation files have in common, and how it can be wrong: lists, images, categories.

Functions take what `json` parsed and yield a Fault for everything in it that is wrong.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from mmproscale.datasets.checks.faults import Fault, is_finite, is_int, is_number, shown

# Semantic maps hold labels in 8 bits, and 255 there means 'no label'.
MAX_CLASSES = 255
# Some tools measure a box to the last pixel's near edge, some to its far one.
BOX_TOLERANCE = 1.01

LISTS = ("images", "annotations", "categories")


def list_faults(content: Any, file: str) -> Iterator[Fault]:
    """Faults of the top level: without them `content` has three lists of dicts."""
    if not isinstance(content, dict):
        yield Fault(
            "not-coco",
            file,
            "",
            f"is not COCO: its top level is no object but {shown(content, 30)}",
            "give a COCO annotation file",
        )
        return
    for key in LISTS:
        entries = content.get(key)
        if not isinstance(entries, list):
            problem = "is no list, or missing: this is not COCO"
            yield Fault("not-coco", file, f"'{key}'", problem, "give a COCO annotation file")
            continue
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                field = f"{key}[{place}]"
                yield Fault(
                    "not-coco", file, field, f"is {shown(entry)}, no object", "remove or replace it"
                )


def missing_keys(
    entry: Mapping, keys: Sequence[str], kind: str, file: str, record: str
) -> Iterator[Fault]:
    """A fault for each of `keys` that `entry` lacks."""
    for key in keys:
        if key not in entry:
            yield Fault(kind, file, f"{record}.{key}", "is missing", f"add '{key}'")


class Doubles:
    """Says of a value whether it was there before, and where: one for each list and key."""

    def __init__(self, kind: str, what: str, note: bool = False) -> None:
        self._kind, self._what, self._note = kind, what, note
        self._first: dict[Hashable, str] = {}

    def faults(self, value: Hashable, file: str, field: str) -> Iterator[Fault]:
        """Remember `value`; yield a fault if it is known."""
        first = self._first.setdefault(value, field)
        if first != field:
            problem = f"is {shown(value)}, as is {first}: two {self._what}"
            yield Fault(
                self._kind, file, field, problem, "give each its own, or remove one", self._note
            )


def category_faults(
    categories: Sequence[Mapping], file: str, panoptic: bool = True
) -> Iterator[Fault]:
    """Faults of `categories`: keys, types, doubles, their number.

    Args:
        categories: the list of dicts.
        file: the annotation file's name.
        panoptic: whether each must have `isthing`, and labels must fit a semantic map.
    """
    if not categories or (panoptic and len(categories) > MAX_CLASSES):
        expected = f"expected 1 to {MAX_CLASSES}" if panoptic else "expected at least one"
        yield Fault(
            "category-count", file, "categories", f"has {len(categories)} entries", expected
        )
    ids = Doubles("category-id-twice", "categories have one id")
    names = Doubles("category-name-twice", "categories have one name")
    for place, category in enumerate(categories):
        record = f"categories[{place}]"
        yield from missing_keys(category, ("id", "name"), "category-key-missing", file, record)
        if "id" in category:
            yield from _whole_id(category["id"], "category-id-type", file, f"{record}.id")
            if is_int(category["id"]):
                yield from ids.faults(category["id"], file, f"{record}.id")
        if "name" in category:
            yield from _category_name(category["name"], names, file, f"{record}.name")
        if panoptic:
            yield from _isthing(category, file, record)
            yield from _color(category.get("color"), file, f"{record}.color")


def _whole_id(value: Any, kind: str, file: str, field: str) -> Iterator[Fault]:
    if not is_int(value):
        yield Fault(kind, file, field, f"is {shown(value)}, no whole number", "use an integer")


def _category_name(name: Any, names: Doubles, file: str, field: str) -> Iterator[Fault]:
    if not isinstance(name, str) or not name.strip():
        yield Fault("category-name-type", file, field, f"is {shown(name)}, no name", "name it")
    else:
        yield from names.faults(name, file, field)


def _isthing(category: Mapping, file: str, record: str) -> Iterator[Fault]:
    field = f"{record}.isthing"
    if "isthing" not in category:
        problem = f"is missing ({shown(category.get('name'))} has no 'isthing')"
        yield Fault("isthing-missing", file, field, problem, "add 1 for things, 0 for stuff")
    elif category["isthing"] not in (0, 1):
        problem = f"is {shown(category['isthing'])}"
        yield Fault("isthing-value", file, field, problem, "use 1 for things, 0 for stuff")


def _color(color: Any, file: str, field: str) -> Iterator[Fault]:
    if color is None:
        return
    sound = isinstance(color, list) and len(color) == 3
    if not sound or not all(is_int(part) and 0 <= part <= 255 for part in color):
        yield Fault(
            "category-color",
            file,
            field,
            f"is {shown(color)}, no colour",
            "give [red, green, blue] from 0 to 255, or leave it out",
        )


def image_list_faults(images: Sequence[Mapping], file: str) -> Iterator[Fault]:
    """Faults of `images`: keys, types, sizes, doubled ids, paths that leave the folder."""
    ids = Doubles("image-id-twice", "images have one id")
    for place, image in enumerate(images):
        record = f"images[{place}]"
        keys = ("id", "file_name", "height", "width")
        yield from missing_keys(image, keys, "image-key-missing", file, record)
        if "id" in image:
            yield from image_id_faults(image["id"], file, f"{record}.id")
            if is_image_id(image["id"]):
                yield from ids.faults(image["id"], file, f"{record}.id")
        if "file_name" in image:
            yield from path_faults(image["file_name"], file, f"{record}.file_name")
        for key in ("height", "width"):
            if key in image and not (is_int(image[key]) and image[key] > 0):
                problem = f"is {shown(image[key])}, no number of pixels"
                action = "use the image's size, a whole number above 0"
                yield Fault("image-size-value", file, f"{record}.{key}", problem, action)


def is_image_id(value: Any) -> bool:
    """Whether an image may have this id: whole numbers (COCO) and names (Cityscapes)."""
    return type(value) in (int, str)


def image_id_faults(value: Any, file: str, field: str) -> Iterator[Fault]:
    """The fault of an id that is neither a whole number nor a name."""
    if not is_image_id(value):
        problem = f"is {shown(value)}, no image id"
        yield Fault("image-id-type", file, field, problem, "use a whole number or a string")


def image_reference_faults(value: Any, known: Mapping, file: str, field: str) -> Iterator[Fault]:
    """Faults of an annotation's `image_id`: its type, an image that is not there.

    Args:
        value: the id.
        known: image id -> anything, of every image.
        file: the annotation file's name.
        field: where the id stands.
    """
    if not is_image_id(value):
        yield from image_id_faults(value, file, field)
    elif value not in known:
        other = _of_other_type(value)
        if other is not None and other in known:
            problem = f"is {shown(value)} but the image's id is {shown(other)}: of another type"
            yield Fault("image-id-other-type", file, field, problem, "use one type for both")
            return
        problem = f"is {shown(value)}: an annotation but no image has this id"
        yield Fault("annotation-without-image", file, field, problem, "add the image or remove it")


def _of_other_type(value: int | str) -> int | str | None:
    if is_int(value):
        return str(value)
    try:
        return int(value)
    except ValueError:
        return None


def path_faults(name: Any, file: str, field: str) -> Iterator[Fault]:
    """Faults of a file name: no text, absolute, or leaving its folder."""
    if not isinstance(name, str) or not name.strip():
        yield Fault(
            "path-type", file, field, f"is {shown(name)}, no file name", "name a file in the folder"
        )
    elif posixpath.isabs(name) or name[1:3] in (":\\", ":/"):
        problem = f"is {shown(name)}, an absolute path"
        yield Fault("path-absolute", file, field, problem, "name it relative to the folder")
    elif posixpath.normpath(name.replace("\\", "/")).split("/")[0] == "..":
        problem = f"is {shown(name)}, which leaves the folder"
        yield Fault("path-leaves-folder", file, field, problem, "name a file in the folder")


def box_faults(
    box: Any, width: int, height: int, file: str, field: str, empty_is_note: bool = False
) -> Iterator[Fault]:
    """The fault of a box: type, NaN or infinite, inverted, empty, outside the image.

    Args:
        box: what should be [x, y, width, height] in pixels.
        width: of the image in pixels.
        height: of the image in pixels.
        file: the annotation file's name.
        field: where the box stands.
        empty_is_note: whether a box below a pixel is only worth a note.
    """
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(side) for side in box):
        action = "give [x, y, width, height] in pixels"
        yield Fault("box-type", file, field, f"is {shown(box)}, no box", action)
        return
    x, y, w, h = box
    right, bottom = width + BOX_TOLERANCE, height + BOX_TOLERANCE
    action = "compute it from the mask again"
    if w >= 1 and h >= 1 and min(x, y) >= -BOX_TOLERANCE and x + w <= right and y + h <= bottom:
        return
    text = f"is {shown(box)}"
    if not all(is_finite(side) for side in box):
        yield Fault("box-not-finite", file, field, text, action)
    elif w < 0 or h < 0:
        problem = f"{text}, inverted: width and height follow x and y, and are not negative"
        yield Fault("box-inverted", file, field, problem, action)
    elif w < 1 or h < 1:
        problem = f"{text}, of less than a pixel: mmdet drops it"
        yield Fault("box-empty", file, field, problem, action, note=empty_is_note)
    else:
        problem = f"{text}, outside its image of {width}x{height}"
        yield Fault("box-outside", file, field, problem, action)


def area_faults(area: Any, file: str, field: str, empty_is_note: bool = False) -> Iterator[Fault]:
    """The fault of an area that is no finite number above 0."""
    if not is_finite(area):
        action = "count the segment's pixels"
        yield Fault("area-value", file, field, f"is {shown(area)}, no finite number", action)
    elif area <= 0:
        problem, action = f"is {shown(area)}: mmdet drops it", "count the segment's pixels"
        yield Fault("area-empty", file, field, problem, action, note=empty_is_note)


def crowd_faults(entry: Mapping, file: str, record: str) -> Iterator[Fault]:
    """The fault of an `iscrowd` that is neither 0 nor 1; it may be absent."""
    if entry.get("iscrowd", 0) not in (0, 1):
        field, problem = f"{record}.iscrowd", f"is {shown(entry['iscrowd'])}"
        yield Fault("iscrowd-value", file, field, problem, "use 1 for a crowd, else 0")


def category_reference_faults(
    value: Any, known: Mapping, file: str, field: str, what: Callable[[], str]
) -> Iterator[Fault]:
    """Faults of a `category_id`: no whole number, or none of `categories`.

    Args:
        value: the id.
        known: category id -> anything.
        file: the annotation file's name.
        field: where the id stands.
        what: tells whose category it is, e.g. 'segment 7 of 'a.jpg''.
    """
    if not is_int(value):
        yield from _whole_id(value, "category-id-type", file, field)
    elif value not in known:
        problem = f"({what()}: category_id {value}) is not in 'categories'"
        yield Fault("category-unknown", file, field, problem, "add the category or correct the id")
