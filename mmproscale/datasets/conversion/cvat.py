"""Conversion of CVAT's XML ("CVAT for images 1.1") to COCO instances, or to boxes.

Polygons, masks and ellipses become instances, and boxes between them become rectangles. If all
shapes are boxes, they stay boxes without masks. Shapes of an image with the same label and the same
``group_id`` are one object. Points, lines, skeletons and cuboids are left out and counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.instance_objects import (
    InstanceImage,
    box_entry,
    mask_entry,
)
from mmproscale.datasets.conversion.output import Conversion, Destination, each
from mmproscale.datasets.conversion.painting import is_coordinate, polygons_to_rle
from mmproscale.datasets.conversion.source_files import checked_categories
from mmproscale.datasets.conversion.summary import Counts
from mmproscale.datasets.formats.images import image_faults
from mmproscale.errors import InputError
from mmproscale.utils.faults import excerpt, refuse
from mmproscale.utils.image_inputs import image_ids
from mmproscale.utils.text_files import read_text
from mmproscale.utils.words import few, plural

OUTLINES = frozenset({"polygon", "mask", "ellipse"})
WITH_AREA = OUTLINES | {"box"}
LABEL_TYPES = WITH_AREA | {"any", "bbox", "rectangle", ""}
Shape = dict[str, str]
"""Attributes of a shape's element, its tag as ``kind`` and its place as ``where``."""


@dataclass(frozen=True)
class CvatImage:
    """One image of the XML.

    Args:
        name: Its name, which may have folders.
        subset: Its subset in CVAT; empty if the XML names none.
        size: Height and width in pixels.
        shapes: Its shapes.
    """

    name: str
    subset: str
    size: tuple[int, int]
    shapes: list[Shape]


@dataclass(frozen=True)
class CvatFile:
    """Content of an XML.

    Args:
        path: The file.
        labels: Names of the classes that may have an area, in CVAT's order.
        images: All images.
    """

    path: Path
    labels: tuple[str, ...]
    images: list[CvatImage]

    @property
    def what(self) -> str:
        """``'boxes'`` if all shapes with an area are boxes, else ``'instances'``."""
        kinds = {shape["kind"] for image in self.images for shape in image.shapes} & WITH_AREA
        return "boxes" if kinds == {"box"} else "instances"

    @property
    def subsets(self) -> list[str]:
        """Names of CVAT's subsets."""
        return list(dict.fromkeys(image.subset for image in self.images if image.subset))


def read_cvat(path: Path) -> CvatFile:
    """Read an XML of CVAT.

    Raises:
        SourcesError: Shapes have labels that the XML does not list, or images have faults.
        InputError: The file is missing, is not XML, is not CVAT's, or is one of a video.
    """
    try:
        root = ElementTree.fromstring(read_text(path).encode())
    except ElementTree.ParseError as error:
        raise InputError(f"'{path}' is not valid XML ({error}): export it again") from None
    if root.tag != "annotations" or root.find("track") is not None or root.find("image") is None:
        raise InputError(f"'{path}' has no images of CVAT: export 'CVAT for images 1.1', or COCO")
    listed = [
        str(label.findtext("name"))
        for label in root.iterfind("meta//labels/label")
        if label.findtext("parent") is None and (label.findtext("type") or "") in LABEL_TYPES
    ]
    images = each(partial(_image, path=path), list(root.iterfind("image")))
    used = {s["label"] for image in images for s in image.shapes if s["kind"] in WITH_AREA}
    labels = tuple(dict.fromkeys(listed)) or tuple(sorted(used))
    if unknown := sorted(used - set(labels)):
        raise InputError(f"'{path}': shapes have labels that it does not list: {few(unknown)}")
    return CvatFile(path, labels, images)


def _image(element: ElementTree.Element, path: Path) -> CvatImage:
    name = element.get("name") or ""
    where = f"'{path}', image '{name}'"
    try:
        size = int(element.attrib["height"]), int(element.attrib["width"])
    except (KeyError, ValueError):
        raise InputError(f"{where} lacks width or height: export it again") from None
    shapes = []
    for place, child in enumerate(child for child in element if child.tag != "tag"):
        shape = {"label": "", **child.attrib, "kind": child.tag}
        shape["where"] = f"{where}, {child.tag} '{shape['label']}' (shape {place})"
        shapes.append(shape)
    return CvatImage(name, element.get("subset") or "", size, shapes)


def prepare_cvat(
    data: CvatFile,
    destination: Destination,
    images: Path | None = None,
    subset: str = "",
    stuff: Sequence[str] = (),
) -> Conversion:
    """Prepare the conversion of a file, or of one of its subsets.

    Args:
        data: The file.
        destination: Files and folders to write.
        images: Folder of the images; by default ``images/`` or the folder of the XML.
        subset: Name of the subset; empty for all images.
        stuff: Labels that are stuff, for a later conversion to panoptic data.

    Raises:
        SourcesError: Images do not exist.
        InputError: There is no such subset or label.
    """
    if unknown := sorted(set(stuff) - set(data.labels)):
        raise InputError(f"--stuff {unknown[0]}: '{data.path}' has only {few(data.labels)}")
    chosen = [image for image in data.images if subset in ("", image.subset)]
    if not chosen:
        raise InputError(f"--subset {subset}: '{data.path}' has only {few(data.subsets)}")
    roots = [images] if images else [data.path.parent / "images", data.path.parent]
    paths = each(partial(_picture, roots=roots), chosen)
    ids = image_ids([Path(image.name).with_suffix("").as_posix() for image in chosen])
    numbers = {name: number for number, name in enumerate(data.labels, start=1)}
    entries = [dict(id=n, name=name, isthing=int(name not in stuff)) for name, n in numbers.items()]
    categories = checked_categories(entries, f"'{data.path}'")
    notes, boxes = [], [s["where"] for i in chosen for s in i.shapes if s["kind"] == "box"]
    if boxes and data.what == "instances":
        count = plural(len(boxes), "box")
        notes.append(f"note: {count} between outlines drawn as rectangles, first: {boxes[0]}")
    convert = partial(_convert, numbers=numbers, what=data.what)
    sources = list(zip(ids, chosen, paths, strict=True))
    return Conversion(sources, convert, categories, destination, notes, data.what)


def _picture(image: CvatImage, roots: Sequence[Path]) -> Path:
    places = [root / part / image.name for root in roots for part in (image.subset, "")]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(f"image '{places[-1]}' does not exist: name its folder (--images)")
    return found


def _convert(
    source: tuple[int, CvatImage, Path], numbers: dict[str, int], what: str
) -> InstanceImage:
    image_id, image, path = source
    refuse(image_faults(str(path), image.size))
    left_out: list[tuple[str, str]] = []
    groups: dict[tuple[str, str], list[Shape]] = defaultdict(list)
    for place, shape in enumerate(image.shapes):
        group = shape.get("group_id", "0")
        if shape["kind"] not in WITH_AREA:
            left_out.append(("points and lines", shape["where"]))
        elif group == "0" or what == "boxes":
            groups[shape["label"], str(place)].append(shape)
        else:
            groups[shape["label"], f"group {group}"].append(shape)
    objects = []
    for (label, _), shapes in groups.items():
        made = _object(numbers[label], shapes, image.size, what)
        if isinstance(made, str):
            left_out += [(made, shape["where"]) for shape in shapes]
        else:
            objects.append(made)
    counts = Counts(sum(map(len, groups.values())), left_out)
    return InstanceImage(image_id, image.name, image.size, objects, path, counts)


def _object(
    number: int, shapes: list[Shape], size: tuple[int, int], what: str
) -> dict[str, Any] | str:
    if what == "boxes":
        corners = np.reshape(_polygon(shapes[0]), (-1, 2))
        return box_entry(number, [*corners.min(0).tolist(), *corners.max(0).tolist()], size)
    polygons = [_polygon(shape) for shape in shapes if shape["kind"] != "mask"]
    codes = [_mask(shape, size) for shape in shapes if shape["kind"] == "mask"]
    if polygons:
        codes.append(polygons_to_rle(polygons, *size, shapes[0]["where"]))
    return mask_entry(number, rle_tools.merge(codes), polygons if len(codes) == 1 else None)


def _numbers(shape: Shape, *keys: str) -> list[float]:
    """Return the numbers of some attributes, which commas, semicolons or spaces separate."""
    found = []
    for key in keys:
        text = shape.get(key, "")
        try:
            numbers = [float(part) for part in text.replace(";", ",").split(",")]
        except ValueError:
            numbers = []
        if not numbers or not all(map(is_coordinate, numbers)):
            raise InputError(f"{shape['where']}: {key} is {excerpt(text)}, not numbers of pixels")
        found += numbers
    return found


def _polygon(shape: Shape) -> list[float]:
    """Return the outline x, y, x, y, ... of a polygon, a box or an ellipse."""
    if shape["kind"] == "polygon":
        return _numbers(shape, "points")
    if shape["kind"] == "box":
        left, top, right, bottom = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        center = np.array([left + right, top + bottom]) / 2
    else:
        x, y, *radii = _numbers(shape, "cx", "cy", "rx", "ry")
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        center = np.array([x, y])
        points = center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
    angle = math.radians(_numbers({"rotation": "0", **shape}, "rotation")[0])  # clockwise
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return ((points - center) @ turn + center).round(2).ravel().tolist()


def _mask(shape: Shape, size: tuple[int, int]) -> dict[str, Any]:
    """Return COCO's code of a mask, which CVAT stores as runs along the rows of its box."""
    left, top, width, height = map(int, _numbers(shape, "left", "top", "width", "height"))
    try:
        runs = np.array([int(run) for run in shape["rle"].split(",")])
    except (KeyError, ValueError):
        text = excerpt(shape.get("rle"))
        raise InputError(f"{shape['where']}: rle is {text}, not whole numbers") from None
    inside = min(left, top) >= 0 and left + width <= size[1] and top + height <= size[0]
    if not inside or runs.min() < 0 or runs.sum() != width * height:
        raise InputError(
            f"{shape['where']}: runs of {runs.sum()} pixels do not fit a box of {width}x{height} "
            f"at {left}, {top} in an image of {size[1]}x{size[0]}"
        )
    mask = np.zeros(size, np.uint8, order="F")
    crop = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = crop
    return rle_tools.encode(mask)
