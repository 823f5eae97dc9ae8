"""Conversion of labelme's JSON files to COCO's panoptic format.

Polygons, rectangles, circles and masks become regions. Points and lines, which have no area, are
left out. Shapes with the same label and the same ``group_id`` are one segment. As in labelme,
labels that begin with two underscores, and ``_background_``, are void.
"""

import base64
import binascii
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.output import Conversion, Destination, PanopticImage
from mmproscale.datasets.conversion.painting import Region, paint, polygons_to_rle
from mmproscale.datasets.conversion.source_files import field, image_size, with_colors
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import image_ids

WITHOUT_AREA = frozenset({"line", "linestrip", "point", "points"})


@dataclass(frozen=True)
class LabelmeFile:
    """One of labelme's files, checked as far as possible without its image.

    Args:
        path: The JSON file.
        shapes: The shapes that have an area and whose label is not void.
        skipped: Number of shapes without area.
        image: File of its image; None if the image is only embedded in the JSON.
    """

    path: Path
    shapes: list[dict[str, Any]]
    skipped: int
    image: Path | None

    def where(self, index: int) -> str:
        """Return the place of a shape, for messages."""
        shape = self.shapes[index]
        return (
            f"labelme file '{self.path}', {shape.get('shape_type', 'polygon')} '{shape['label']}'"
        )


def read_labelme(folder: str | Path) -> list[LabelmeFile]:
    """Read the files of a folder and its subfolders, sorted by name.

    Raises:
        InputError: There is no file, or one is not a labelme file or has no image.
    """
    paths = sorted(Path(folder).rglob("*.json"))
    if not paths:
        raise InputError(f"'{folder}' has no JSON file of labelme")
    return [_read(path) for path in paths]


def _read(path: Path) -> LabelmeFile:
    where = f"labelme file '{path}'"
    content = read_json(path, "the file's name")
    shapes = field(content, "shapes", list, where)
    for index, shape in enumerate(shapes):
        field(shape, "label", str, f"{where}, shape {index}")
        if shape.get("shape_type") is not None:
            field(shape, "shape_type", str, f"{where}, shape {index}")
    labelled = [shape for shape in shapes if not _is_void(shape["label"])]
    areas = [shape for shape in labelled if shape.get("shape_type") not in WITHOUT_AREA]
    # On Windows labelme writes backslashes.
    image = path.parent / field(content, "imagePath", str, where).replace("\\", "/")
    if not image.is_file() and not isinstance(content.get("imageData"), str):
        raise InputError(f"{where}: its imagePath '{image}' does not exist and it has no imageData")
    return LabelmeFile(path, areas, len(labelled) - len(areas), image if image.is_file() else None)


def _is_void(label: str) -> bool:
    return label.startswith("__") or label == "_background_"


def categories_of_labels(files: Sequence[LabelmeFile], things: Sequence[str]) -> list[dict]:
    """Return COCO's ``categories`` of the labels that occur, sorted by name, with ids from 1.

    Args:
        files: All files.
        things: Labels that are things; the others are stuff.

    Raises:
        InputError: One of ``things`` does not occur.
    """
    labels = sorted({shape["label"] for file in files for shape in file.shapes})
    unknown = sorted(set(things) - set(labels))
    if unknown:
        raise InputError(f"--things {unknown[0]}: no shape has that label; found {labels}")
    return with_colors(
        [
            {"id": number, "name": label, "isthing": int(label in things)}
            for number, label in enumerate(labels, start=1)
        ]
    )


def prepare_labelme(
    files: Sequence[LabelmeFile],
    folder: str | Path,
    categories: Sequence[dict[str, Any]],
    destination: Destination,
) -> Conversion:
    """Prepare the conversion of files; :mod:`painting` describes overlaps.

    Args:
        files: Files as :func:`read_labelme` returns them.
        folder: Folder that they were read from. Images that are not copied are named by their path
            relative to it.
        categories: The classes, whose names are labels.
        destination: Files and folders to write. Where images are copied, ``file_name`` is the
            copy's.

    Raises:
        InputError: A label has no class, or an image is only embedded although images are not
            copied.
    """
    by_name = {category["name"]: category for category in categories}
    for file in files:
        for index, shape in enumerate(file.shapes):
            if shape["label"] not in by_name:
                raise InputError(
                    f"{file.where(index)}: no class has that name; add it to the class file"
                )
        if file.image is None and destination.image_folder is None:
            raise InputError(
                f"the image of '{file.path}' is only embedded in it: add --copy-images to write it"
            )
    folder = Path(folder)
    stems = [file.path.relative_to(folder).with_suffix("").as_posix() for file in files]
    copies = destination.image_folder is not None
    convert = partial(_convert, folder=folder, by_name=by_name, copies=copies)
    sources = list(zip(image_ids(stems), stems, files, strict=True))
    return Conversion(sources, convert, categories, destination)


def _convert(
    source: tuple[int, str, LabelmeFile], folder: Path, by_name: dict[str, dict], copies: bool
) -> PanopticImage:
    image_id, stem, file = source
    picture, suffix, (height, width) = _picture(file)
    ids, meaning = paint(_regions(file, by_name, height, width), height, width)
    if copies or file.image is None:  # an image that is only embedded is always copied
        name = stem + suffix
    else:
        name = Path(os.path.relpath(file.image, folder)).as_posix()
    return PanopticImage(image_id, name, f"{stem}.png", ids, meaning, picture)


def _picture(file: LabelmeFile) -> tuple[Path | bytes, str, tuple[int, int]]:
    """Return a file's image (its path or its embedded bytes), its suffix, and height and width."""
    if file.image is not None:
        return file.image, file.image.suffix, image_size(file.image)
    where, content = f"labelme file '{file.path}': imageData", read_json(file.path, "its name")
    data = _embedded_bytes(content["imageData"], where)
    height, width = _pixels(data, where).shape[:2]
    return data, Path(content["imagePath"].replace("\\", "/")).suffix, (height, width)


def _regions(file: LabelmeFile, by_name: dict[str, dict], height: int, width: int) -> list[Region]:
    """Return a region for each group of shapes and for each shape without a group."""
    parts: dict[Any, list[dict]] = {}
    for index, shape in enumerate(file.shapes):
        group = shape.get("group_id")
        key = (shape["label"], index if group is None else f"group {group}")
        parts.setdefault(key, []).append(_shape_rle(shape, height, width, file.where(index)))
    regions = []
    for (label, _), masks in parts.items():
        category = by_name[label]
        regions.append(Region(category["id"], bool(category["isthing"]), rle_tools.merge(masks)))
    return regions


def _shape_rle(shape: dict[str, Any], height: int, width: int, where: str) -> dict[str, Any]:
    """Return COCO's run-length code of a shape's mask; a shape without a type is a polygon."""
    kind = shape.get("shape_type") or "polygon"
    points = field(shape, "points", list, where)
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise InputError(f"{where}: 'points' is not a list of pairs x, y")
    if kind not in ("polygon", "rectangle", "circle", "mask"):
        raise InputError(f"{where}: unknown type {kind!r}; known: polygon, rectangle, circle, mask")
    if kind == "polygon":
        return polygons_to_rle([[v for point in points for v in point]], height, width, where)
    if len(points) != 2 or not all(isinstance(v, (int, float)) for point in points for v in point):
        raise InputError(f"{where}: 'points' is {points}, expected two pairs of numbers")
    if kind == "mask":
        mask = _mask(shape, points, height, width, where)
        return rle_tools.encode(np.asfortranarray(mask))
    outline = _corners(*points) if kind == "rectangle" else _circle(*points)
    return polygons_to_rle([outline], height, width, where)


def _corners(one: list[float], other: list[float]) -> list[float]:
    return [one[0], one[1], other[0], one[1], other[0], other[1], one[0], other[1]]


def _circle(center: list[float], edge: list[float]) -> list[float]:
    """Return a polygon around a circle; its sides are about a pixel long."""
    radius = math.dist(center, edge)
    count = min(max(16, int(2 * np.pi * radius)), 10_000)
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.stack([center[0] + radius * np.cos(angles), center[1] + radius * np.sin(angles)], 1)
    return rim.ravel().tolist()


def _mask(
    shape: dict[str, Any], points: list[list[float]], height: int, width: int, where: str
) -> np.ndarray:
    """Return a mask, (H, W) uint8; the file stores it for a box, whose corners are included."""
    place = f"{where}: 'mask'"
    crop = _pixels(_embedded_bytes(field(shape, "mask", str, where), place), place) > 0
    (left, top), (right, bottom) = ([int(v) for v in point] for point in points)
    inside = min(left, top) >= 0 and right < width and bottom < height
    if not inside or crop.shape != (bottom - top + 1, right - left + 1):
        raise InputError(
            f"{where}: its mask of {'x'.join(map(str, crop.shape[::-1]))} pixels does not fit the "
            f"box {points} of an image of {width}x{height}"
        )
    mask = np.zeros((height, width), np.uint8)
    mask[top : bottom + 1, left : right + 1] = crop
    return mask


def _embedded_bytes(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{where} is not base64") from None


def _pixels(data: bytes, where: str) -> np.ndarray:
    """Decode an embedded image: (H, W) or (H, W, channels)."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (OSError, SyntaxError):
        raise InputError(f"{where} is not a readable image") from None
