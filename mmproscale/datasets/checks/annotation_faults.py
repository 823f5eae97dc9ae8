"""Faults of what all COCO annotation files share: ids, images, file names, boxes, areas.

Functions take what `json` parsed and yield a Fault for everything in it that is wrong.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from mmproscale.utils.command_names import command
from mmproscale.utils.faults import Fault, excerpt, is_finite, is_int, is_number

# Some tools measure a box to the last pixel's near edge, some to its far one.
BOX_TOLERANCE = 1.01
MAX_CATEGORY_ID, MAX_SEMANTIC_ID = 2**31 - 1, 2**16 - 1
MAX_SIDE = 10**6  # pixels of an image
_UNNAMEABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and halves of UTF-16's pairs


def missing_keys(
    entry: Mapping, keys: Sequence[str], kind: str, file: str, record: str
) -> Iterator[Fault]:
    """Yield a fault for each of `keys` that `entry` lacks."""
    for key in keys:
        if key not in entry:
            yield Fault(kind, file, f"{record}.{key}", "is missing", f"add '{key}'")


class RepeatedValues:
    """Finder of values that occur twice in a list: one for each list and key.

    Args:
        kind: kind of the fault.
        what: ends the message: 'two {what}'.
        note: whether a repeated value is only worth a note.
    """

    def __init__(self, kind: str, what: str, note: bool = False) -> None:
        self._kind, self._what, self._note = kind, what, note
        self._first: dict[Hashable, str] = {}

    def faults(self, value: Hashable, file: str, field: str) -> Iterator[Fault]:
        """Remember `value`; yield a fault if it is known."""
        first = self._first.setdefault(value, field)
        if first != field:
            problem = f"is {excerpt(value)}, as is {first}: two {self._what}"
            action = "give each its own, or remove one"
            yield Fault(self._kind, file, field, problem, action, self._note)


def image_list_faults(images: Sequence[Mapping], file: str) -> Iterator[Fault]:
    """Yield faults of `images`: keys, types, sizes, repeated ids, paths that leave the folder."""
    ids = RepeatedValues("image-id-twice", "images have one id")
    if len({type(image["id"]) for image in images if is_image_id(image.get("id"))}) > 1:
        problem, action = "have ids of two types, numbers and text", "use one type for all"
        yield Fault("image-ids-mixed", file, "images", problem, action)
    for place, image in enumerate(images):
        record = f"images[{place}]"
        keys = ("id", "file_name", "height", "width")
        yield from missing_keys(image, keys, "image-key-missing", file, record)
        if "id" in image:
            yield from _image_id(image["id"], file, f"{record}.id")
            if is_image_id(image["id"]):
                yield from ids.faults(image["id"], file, f"{record}.id")
        if "file_name" in image:
            yield from path_faults(image["file_name"], file, f"{record}.file_name")
        for key in ("height", "width"):
            if key in image and not (is_int(image[key]) and 0 < image[key] <= MAX_SIDE):
                problem = f"is {excerpt(image[key])}, not a number of pixels"
                action = "use the image's size, a whole number above 0"
                yield Fault("image-size-value", file, f"{record}.{key}", problem, action)


def size_of(image: Mapping) -> tuple[int, int] | None:
    """Return height and width of an entry of `images`; None where they are no numbers of pixels."""
    height, width = image.get("height"), image.get("width")
    if not is_int(height) or not is_int(width):
        return None
    return (height, width) if 0 < min(height, width) <= max(height, width) <= MAX_SIDE else None


def is_image_id(value: Any) -> TypeGuard[int | str]:
    """Tell whether an image may have this id: a whole number (COCO) or a name (Cityscapes)."""
    return type(value) in (int, str)


def first_by_id(entries: Sequence[dict]) -> dict[int | str, dict]:
    """Return id -> entry, the first of each id; entries with ids of another type are left out."""
    found: dict[int | str, dict] = {}
    for entry in entries:
        if is_image_id(entry.get("id")):
            found.setdefault(entry["id"], entry)
    return found


def _image_id(value: Any, file: str, field: str) -> Iterator[Fault]:
    if not is_image_id(value):
        problem = f"is {excerpt(value)}, not an image id"
        yield Fault("image-id-type", file, field, problem, "use a whole number or a string")


def image_reference_faults(value: Any, known: Mapping, file: str, field: str) -> Iterator[Fault]:
    """Yield faults of an annotation's `image_id`: its type, or an unknown image.

    Args:
        value: the id.
        known: image id -> anything, of every image.
        file: name of the annotation file.
        field: place of the id in the file.
    """
    if not is_image_id(value):
        yield from _image_id(value, file, field)
    elif value not in known:
        other = _of_other_type(value)
        if other is not None and other in known:
            problem = f"is {excerpt(value)} but the image's id is {excerpt(other)}: of another type"
            yield Fault("image-id-other-type", file, field, problem, "use one type for both")
            return
        problem = f"is {excerpt(value)}: an annotation but no image has this id"
        yield Fault("annotation-without-image", file, field, problem, "add the image or remove it")


def _of_other_type(value: int | str) -> int | str | None:
    if is_int(value):
        return str(value)
    try:
        return int(value)
    except ValueError:
        return None


def path_faults(name: Any, file: str, field: str) -> Iterator[Fault]:
    """Yield the fault of a file name that is not text, is absolute, or leaves its folder."""
    if not isinstance(name, str) or not name.strip():
        problem = f"is {excerpt(name)}, not a file name"
        yield Fault("path-type", file, field, problem, "name a file in the folder")
    elif _UNNAMEABLE.search(name):
        problem = f"is {excerpt(name)}, with a character that no file name can have"
        yield Fault("path-type", file, field, problem, "name a file in the folder")
    elif posixpath.isabs(name) or name[1:3] in (":\\", ":/"):
        problem = f"is {excerpt(name)}, an absolute path"
        yield Fault("path-absolute", file, field, problem, "name it relative to the folder")
    elif posixpath.normpath(name.replace("\\", "/")).split("/")[0] == "..":
        problem = f"is {excerpt(name)}, which leaves the folder"
        yield Fault("path-leaves-folder", file, field, problem, "name a file in the folder")
    elif "\\" in name:
        problem = f"is {excerpt(name)}, with a backslash, which other systems take for a letter"
        action = f"write '/' ({command('check-dataset')} --repair does)"
        yield Fault("path-backslash", file, field, problem, action)


def box_faults(
    box: Any, width: int, height: int, file: str, field: str, empty_is_note: bool = False
) -> Iterator[Fault]:
    """Yield the fault of a box: type, NaN or infinite, inverted, empty, outside the image.

    Args:
        box: the value, which should be [x, y, width, height] in pixels.
        width: width of the image in pixels.
        height: height of the image in pixels.
        file: name of the annotation file.
        field: place of the box in the file.
        empty_is_note: whether a box below a pixel is only worth a note.
    """
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(side) for side in box):
        action = "give [x, y, width, height] in pixels"
        yield Fault("box-type", file, field, f"is {excerpt(box)}, not a box", action)
        return
    x, y, w, h = box
    right, bottom = width + BOX_TOLERANCE, height + BOX_TOLERANCE
    action = "compute it from the mask again"
    if w >= 1 and h >= 1 and min(x, y) >= -BOX_TOLERANCE and x + w <= right and y + h <= bottom:
        return
    text = f"is {excerpt(box)}"
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
    """Yield the fault of an area that is not a finite number above 0."""
    problem, action = f"is {excerpt(area)}", "count the segment's pixels"
    if not is_finite(area):
        yield Fault("area-value", file, field, f"{problem}, not a finite number", action)
    elif area <= 0:
        problem = f"{problem}: mmdet drops it"
        yield Fault("area-empty", file, field, problem, action, note=empty_is_note)


def crowd_faults(entry: Mapping, file: str, record: str) -> Iterator[Fault]:
    """Yield the fault of an `iscrowd` that is neither 0 nor 1; it may be absent."""
    if entry.get("iscrowd", 0) not in (0, 1):
        field, problem = f"{record}.iscrowd", f"is {excerpt(entry['iscrowd'])}"
        yield Fault("iscrowd-value", file, field, problem, "use 1 for a crowd, else 0")


def no_object(kind: str, objects: Sequence[Mapping], images: Sequence, file: str) -> Fault:
    """Return the fault of a file without an object that is not a crowd."""
    if objects:
        problem = f"are {len(objects)} crowds (iscrowd 1) and nothing else"
        action = "set iscrowd to 0 if they are single objects, which is what training learns"
    else:
        problem, action = f"have no object ({len(images)} images)", "give the annotated JSON"
    return Fault(kind, file, "annotations", problem, action)


def crowd_notes(
    objects: Sequence[Mapping], categories: Sequence[Mapping], file: str
) -> Iterator[Fault]:
    """Yield a note if a class of segments or instances occurs as crowd only."""
    crowds = Counter(str(o.get("category_id")) for o in objects if o.get("iscrowd"))
    single = {str(o.get("category_id")) for o in objects if not o.get("iscrowd")}
    names = {str(c.get("id")): str(c.get("name")) for c in categories}
    only = ", ".join(f"'{names.get(k, k)}'" for k in crowds if k not in single)
    if not only:
        return
    problem = f"have {crowds.total()} crowds of {len(objects)}, which are not trained on; {only}"
    problem += " occur as crowd only"
    action = "set iscrowd to 0 where these are single objects"
    yield Fault("crowds", file, "annotations", problem, action, note=True)


def category_id_faults(value: Any, file: str, field: str) -> Iterator[Fault]:
    """Yield the fault of a category's id that is not a whole number from 0 to 2**31 - 1."""
    if not is_int(value):
        problem = f"is {excerpt(value)}, not a whole number"
        yield Fault("category-id-type", file, field, problem, "use an integer")
    elif not 0 <= value <= MAX_CATEGORY_ID:
        problem = f"is {excerpt(value)}, which files of results can't hold"
        yield Fault("category-id-range", file, field, problem, "number from 0 or 1")
    elif value > MAX_SEMANTIC_ID:
        problem = f"is {value}: semantic PNGs of predictions hold ids to {MAX_SEMANTIC_ID}"
        yield Fault("category-id-large", file, field, problem, "number from 0 or 1", note=True)


def category_reference_faults(
    value: Any, known: Mapping, file: str, field: str, owner: Callable[[], str]
) -> Iterator[Fault]:
    """Yield faults of a `category_id`: its type, or an unknown category.

    Args:
        value: the id.
        known: category id -> anything.
        file: name of the annotation file.
        field: place of the id in the file.
        owner: names what has the category, e.g. 'segment 7 of 'a.jpg''.
    """
    if not is_int(value):
        yield from category_id_faults(value, file, field)
    elif value not in known:
        problem = f"({owner()}: category_id {value}) is not in 'categories'"
        yield Fault("category-unknown", file, field, problem, "add the category or correct the id")
