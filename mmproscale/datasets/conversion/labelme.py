"""labelme's JSON files to COCO's panoptic format.

Polygons, rectangles, circles and masks are regions; points and lines, which have no area, are left
out. Shapes of one label and one ``group_id`` are one segment. Labels that begin with two
underscores, and ``_background_``, are void, as labelme has it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.labelme_shapes import (
    WITHOUT_AREA,
    decoded_image,
    embedded_bytes,
    shape_to_rle,
)
from mmproscale.datasets.conversion.painting import Region, paint
from mmproscale.datasets.conversion.panoptic_output import (
    Destination,
    PanopticImage,
    Progress,
    write_dataset,
)
from mmproscale.datasets.conversion.reading import field, image_size
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.datasets.formats.colors import class_colors
from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import image_ids


@dataclass(frozen=True)
class LabelmeFile:
    """One of labelme's files, with all that is checked before anything is written.

    Args:
        path: The JSON file.
        shapes: Those with an area whose label is not void.
        skipped: How many have no area.
        image: Its image's file; None if it is there only inside the JSON.
    """

    path: Path
    shapes: list[dict[str, Any]]
    skipped: int
    image: Path | None

    def where(self, index: int) -> str:
        """The place of a shape, for messages."""
        shape = self.shapes[index]
        return (
            f"labelme file '{self.path}', {shape.get('shape_type', 'polygon')} '{shape['label']}'"
        )


def read_labelme(folder: str | Path) -> list[LabelmeFile]:
    """Read the files of a folder and its subfolders, by name.

    Raises:
        InputError: There is none; one is not labelme's, or has no image.
    """
    paths = sorted(Path(folder).rglob("*.json"))
    if not paths:
        raise InputError(f"'{folder}' has no JSON file of labelme's")
    return [_read(path) for path in paths]


def _read(path: Path) -> LabelmeFile:
    where = f"labelme file '{path}'"
    content = read_json(path, "the file's name")
    shapes = field(content, "shapes", list, where)
    for index, shape in enumerate(shapes):
        field(shape, "label", str, f"{where}, shape {index}")
        if shape.get("shape_type") is not None:
            field(shape, "shape_type", str, f"{where}, shape {index}")
    kept = [shape for shape in shapes if not _is_void(shape["label"])]
    areas = [shape for shape in kept if shape.get("shape_type") not in WITHOUT_AREA]
    # On Windows labelme writes backslashes.
    image = path.parent / field(content, "imagePath", str, where).replace("\\", "/")
    if not image.is_file() and not isinstance(content.get("imageData"), str):
        raise InputError(f"{where}: its imagePath '{image}' does not exist and it has no imageData")
    return LabelmeFile(path, areas, len(kept) - len(areas), image if image.is_file() else None)


def _is_void(label: str) -> bool:
    return label.startswith("__") or label == "_background_"


def categories_of_labels(files: Sequence[LabelmeFile], things: Sequence[str]) -> list[dict]:
    """COCO's ``categories``: the labels that occur, by name, numbered from 1.

    Args:
        files: All files.
        things: Labels that are things; the others are stuff.

    Raises:
        InputError: One of ``things`` occurs nowhere.
    """
    labels = sorted({shape["label"] for file in files for shape in file.shapes})
    unknown = sorted(set(things) - set(labels))
    if unknown:
        raise InputError(f"--things {unknown[0]}: no shape has that label; found {labels}")
    categories = [
        {"id": number, "name": label, "isthing": int(label in things)}
        for number, label in enumerate(labels, start=1)
    ]
    colors = class_colors(categories)
    return [category | {"color": list(colors[category["id"]])} for category in categories]


def convert_labelme(
    files: Sequence[LabelmeFile],
    folder: str | Path,
    categories: Sequence[dict[str, Any]],
    destination: Destination,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert files; :mod:`painting` says what happens where shapes overlap.

    Args:
        files: As :func:`read_labelme` gives them.
        folder: Which they were read from; images that stay are named by their path below it.
        categories: The classes, by label.
        destination: Where the result goes; with images copied, ``file_name`` is theirs there.
        workers: How many processes.
        progress: Called as (name, images done, images in all).

    Returns:
        The JSON's content.

    Raises:
        InputError: A label that is no class, a shape that is none, an image that is only embedded
            though images are not copied.
    """
    by_name = {category["name"]: category for category in categories}
    for file in files:
        for index, shape in enumerate(file.shapes):
            if shape["label"] not in by_name:
                raise InputError(
                    f"{file.where(index)}: no class of that name: add it to the class file"
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
    return write_dataset(sources, convert, categories, destination, workers, progress)


def _convert(
    source: tuple[int, str, LabelmeFile], folder: Path, by_name: dict[str, dict], copies: bool
) -> PanopticImage:
    image_id, stem, file = source
    picture, suffix, (height, width) = _picture(file)
    ids, segments = paint(_regions(file, by_name, height, width), height, width)
    if copies or file.image is None:
        name = stem + suffix
    else:
        name = Path(os.path.relpath(file.image, folder)).as_posix()
    image = {"id": image_id, "file_name": name, "height": height, "width": width}
    return PanopticImage(image, ids, segments, f"{stem}.png", picture)


def _picture(file: LabelmeFile) -> tuple[Path | bytes, str, tuple[int, int]]:
    """A file's image (its path, or the bytes that are embedded), suffix, height and width."""
    if file.image is not None:
        return file.image, file.image.suffix, image_size(file.image)
    where, content = (
        f"labelme file '{file.path}': imageData",
        read_json(file.path, "the file's name"),
    )
    height, width = decoded_image(content["imageData"], where).shape[:2]
    suffix = Path(content["imagePath"].replace("\\", "/")).suffix
    return embedded_bytes(content["imageData"], where), suffix, (height, width)


def _regions(file: LabelmeFile, by_name: dict[str, dict], height: int, width: int) -> list[Region]:
    """A region for each shape, and one for each group of shapes."""
    parts: dict[Any, list[dict]] = {}
    for index, shape in enumerate(file.shapes):
        group = shape.get("group_id")
        key = (shape["label"], index if group is None else f"group {group}")
        parts.setdefault(key, []).append(shape_to_rle(shape, height, width, file.where(index)))
    regions = []
    for (label, _), masks in parts.items():
        category = by_name[label]
        regions.append(Region(category["id"], bool(category["isthing"]), rle_tools.merge(masks)))
    return regions
