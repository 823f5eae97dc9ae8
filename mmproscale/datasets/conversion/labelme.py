"""Conversion of labelme's JSON files to COCO's panoptic format.

Polygons, rectangles (of two or four points, also turned ones), circles and masks become regions.
Points and lines, and shapes without a size, are left out and counted. Shapes with the same label
and the same ``group_id`` are one segment. As in labelme, labels that begin with two underscores,
and ``_background_``, are void: they erase the shapes that come before them in the file.
"""

import io
import os
import os.path as osp
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle_tools

from mmproscale.datasets.conversion.labelme_shapes import (
    WITHOUT_AREA,
    embedded_bytes,
    kind_of,
    shape_rle,
)
from mmproscale.datasets.conversion.output import Conversion, Destination, PanopticImage, each
from mmproscale.datasets.conversion.painting import Region, paint
from mmproscale.datasets.conversion.source_files import field, image_size, with_colors
from mmproscale.datasets.conversion.summary import Counts
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.datasets.formats.images import decode_image, size_faults
from mmproscale.errors import InputError
from mmproscale.utils.faults import is_int, refuse
from mmproscale.utils.image_inputs import image_ids, visible
from mmproscale.utils.words import few

SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


@dataclass(frozen=True)
class LabelmeFile:
    """One of labelme's files, checked as far as possible without its image.

    Args:
        path: The JSON file.
        shapes: Its shapes, with their labels without spaces around them.
        size: Height and width of the image that was labelled; None where the file has none.
        image: File of its image; None if the image is only embedded in the JSON.
    """

    path: Path
    shapes: list[dict[str, Any]]
    size: tuple[int, int] | None
    image: Path | None

    def where(self, index: int) -> str:
        """Return the place of a shape, for messages."""
        shape = self.shapes[index]
        return f"labelme file '{self.path}', {kind_of(shape)} '{shape['label']}' (shape {index})"

    def labels(self) -> set[str]:
        """Return the labels that may become classes."""
        return {
            shape["label"]
            for shape in self.shapes
            if not _is_void(shape["label"]) and kind_of(shape) not in WITHOUT_AREA
        }


def read_labelme(folder: str | Path) -> list[LabelmeFile]:
    """Read the files of a folder and its subfolders, sorted by name; hidden ones are no data.

    Raises:
        SourcesError: Some are not labelme files or have no image.
        InputError: There is no file.
    """
    paths = sorted(visible(Path(folder).rglob("*.json"), Path(folder)))
    if not paths:
        raise InputError(f"'{folder}' has no JSON file of labelme")
    return each(_read, paths)


def _read(path: Path) -> LabelmeFile:
    where = f"labelme file '{path}'"
    content = read_json(path, "the file's name")
    if not isinstance(content, dict) or "shapes" not in content:
        raise InputError(f"'{path}' has no 'shapes': it is not a labelme file; move it elsewhere")
    shapes = []
    for index, shape in enumerate(field(content, "shapes", list, where)):
        label = field(shape, "label", str, f"{where}, shape {index}").strip()
        if shape.get("shape_type") is not None:
            field(shape, "shape_type", str, f"{where}, shape {index}")
        shapes.append(shape | {"label": label})
    height, width = content.get("imageHeight"), content.get("imageWidth")
    stated = (height, width) if is_int(height) and is_int(width) else None
    has_data = isinstance(content.get("imageData"), str)
    name = content.get("imagePath") if has_data else field(content, "imagePath", str, where)
    # On Windows labelme writes backslashes.
    image = path.parent / str(name or "").replace("\\", "/")
    image = image if osp.isfile(image) else path.parent / image.name  # it was moved with the file
    if not osp.isfile(image) and not has_data:
        raise InputError(f"{where}: its imagePath '{name}' does not exist and it has no imageData")
    return LabelmeFile(path, shapes, stated, image if osp.isfile(image) else None)


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
    labels = sorted(set().union(*(file.labels() for file in files)))
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
    each(partial(_check_labels, known=by_name.keys()), files)
    folder = Path(folder)
    stems = [file.path.relative_to(folder).with_suffix("").as_posix() for file in files]
    copies = destination.image_folder is not None
    convert = partial(_convert, folder=folder, by_name=by_name, copies=copies)
    sources = list(zip(image_ids(stems), stems, files, strict=True))
    return Conversion(sources, convert, categories, destination)


def _check_labels(file: LabelmeFile, known: Set[str]) -> None:
    if unknown := sorted(file.labels() - known):
        raise InputError(
            f"labelme file '{file.path}': no class is named {few(unknown)}: add the label to the "
            "class file"
        )


def _convert(
    source: tuple[int, str, LabelmeFile], folder: Path, by_name: dict[str, dict], copies: bool
) -> PanopticImage:
    image_id, stem, file = source
    picture, suffix, (height, width) = _picture(file)
    name = stem + suffix
    if not copies and isinstance(picture, Path):
        name = Path(os.path.relpath(picture, folder)).as_posix()
    if not copies and (isinstance(picture, bytes) or name.startswith("../")):
        problem = "is only embedded in it" if isinstance(picture, bytes) else f"is '{name}'"
        raise InputError(
            f"the image of '{file.path}' {problem}, not in '{folder}': add --copy-images"
        )
    regions, left_out = _regions(file, by_name, height, width)
    groups = [region for region, _ in regions]
    ids, meaning, visible = paint(groups, height, width)
    drawn = sum(len(places) for index, (_, places) in enumerate(regions) if index in visible)
    for index, (_, places) in enumerate(regions):
        if index not in visible:
            left_out += [("under other shapes", place) for place in places]
    counts = Counts(drawn, left_out)
    return PanopticImage(image_id, name, f"{stem}.png", ids, meaning, picture, counts)


def _picture(file: LabelmeFile) -> tuple[Path | bytes, str, tuple[int, int]]:
    """Return a file's image (its path or its embedded bytes), its suffix, and height and width.

    The file on disk is taken if it is an image of the size that was labelled, else the embedded
    one, which labelme itself shows.
    """
    if file.image is not None:
        on_disk = decode_image(file.image.read_bytes())
        if on_disk is not None and file.size in (None, on_disk.shape[:2]):
            return file.image, file.image.suffix, on_disk.shape[:2]
    where, content = f"labelme file '{file.path}': imageData", read_json(file.path, "its name")
    if isinstance(content.get("imageData"), str):
        data = embedded_bytes(content["imageData"], where)
        embedded = decode_image(data)
        if embedded is None:
            raise InputError(f"{where} is not a readable image")
        _check_stated(file, embedded.shape, where)
        return data, _suffix(data), embedded.shape[:2]
    assert file.image is not None  # a file with neither was refused
    height, width = image_size(file.image)  # refuses a file that is not an image
    _check_stated(file, (height, width), f"'{file.image}'")
    return file.image, file.image.suffix, (height, width)


def _check_stated(file: LabelmeFile, shape: Sequence[int], image: str) -> None:
    if file.size is not None:
        of = f"the image that was labelled (imageWidth, imageHeight of '{file.path}')"
        refuse(size_faults("image", image.strip("'"), shape, file.size, of))


def _suffix(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as image:
        form = image.format or "png"
    return SUFFIX_OF_FORMAT.get(form, f".{form.lower()}")


def _regions(
    file: LabelmeFile, by_name: dict[str, dict], height: int, width: int
) -> tuple[list[tuple[Region, list[str]]], list[tuple[str, str]]]:
    """Return regions, each with the places of its shapes, and (reason, place) of shapes left out.

    Shapes of one group are one region.
    """
    places = [(shape, file.where(index)) for index, shape in enumerate(file.shapes)]
    masks = each(lambda place: shape_rle(*place, height, width), places)
    left_out = [(m, file.where(i)) for i, m in enumerate(masks) if isinstance(m, str)]
    void = rle_tools.encode(np.zeros((height, width), np.uint8, order="F"))
    parts: dict[Any, list[tuple[dict, str]]] = {}
    for index in reversed(range(len(masks))):  # a void shape erases those that come before it
        shape, mask = file.shapes[index], masks[index]
        if isinstance(mask, str):
            continue
        if _is_void(shape["label"]):
            void = rle_tools.merge([void, mask])
            continue
        kept = _without(mask, void)
        if not rle_tools.area(kept):
            left_out.append(("under a void shape", file.where(index)))
            continue
        group = shape.get("group_id")
        key = (shape["label"], index if group is None else f"group {group}")
        parts.setdefault(key, []).append((kept, file.where(index)))
    regions = []
    for (label, _), members in reversed(parts.items()):
        category, merged = by_name[label], rle_tools.merge([mask for mask, _ in members])
        region = Region(category["id"], bool(category["isthing"]), merged)
        regions.append((region, [place for _, place in members]))
    return regions, left_out


def _without(mask: dict[str, Any], void: dict[str, Any]) -> dict[str, Any]:
    if not rle_tools.area(void):
        return mask
    kept = rle_tools.decode(mask) & (1 - rle_tools.decode(void))
    return rle_tools.encode(np.asfortranarray(kept))
