"""Conversion of COCO instances (polygons, run-length codes, crowds) to COCO's panoptic format."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pycocotools import mask as rle_tools

from mmproscale.datasets.checks.instance_faults import rle_pixels
from mmproscale.datasets.conversion.output import Conversion, Destination, PanopticImage
from mmproscale.datasets.conversion.painting import Region, paint, polygons_to_rle
from mmproscale.datasets.conversion.source_files import checked_categories, field, image_size
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.errors import InputError

Category = dict[str, Any]
PlacedAnnotation = tuple[str, dict[str, Any]]
"""An annotation after its place in the file, which messages name."""


@dataclass(frozen=True)
class _ImageOutlines:
    image: dict[str, Any]
    annotations: list[PlacedAnnotation]


def prepare_polygons(
    instances: str | Path,
    images: str | Path,
    destination: Destination,
    stuff: str | Path | None = None,
    rest: str | None = None,
    drop: Sequence[str] = (),
) -> Conversion:
    """Prepare the conversion of a file of outlines; :mod:`painting` describes overlaps.

    Args:
        instances: COCO's instances. A category is a thing unless its ``isthing`` is 0.
        images: Folder of the images that the file names.
        destination: Files and folders to write.
        stuff: A second file with outlines of stuff, as COCO's ``stuff_*.json``.
        rest: Name of the stuff class of uncovered pixels, which is added if it is missing; None
            leaves them void.
        drop: Names of classes whose outlines are left out.

    Raises:
        InputError: A file does not exist or has a fault, or a class name is unknown.
    """
    contents = {instances: read_coco_json(str(instances))}
    categories = checked_categories(contents[instances]["categories"], f"'{instances}'", isthing=1)
    if stuff:
        contents[stuff] = read_coco_json(str(stuff))
        more = checked_categories(contents[stuff]["categories"], f"'{stuff}'", isthing=0)
        categories = _joined(categories, instances, more, stuff)
    unknown = sorted(set(drop) - {category["name"] for category in categories})
    if unknown:
        raise InputError(f"--drop {unknown[0]}: '{instances}' has no such class")
    known = {category["id"] for category in categories}
    kept = [category for category in categories if category["name"] not in drop]
    rest_id = _rest_id(kept, rest, 1 + max(known))
    annotations = _annotations_by_image(contents, known)
    sources = _sources(contents[instances]["images"], f"'{instances}'", annotations)
    isthing = {category["id"]: bool(category["isthing"]) for category in kept}
    convert = partial(_convert, folder=Path(images), isthing=isthing, rest=rest_id)
    return Conversion(sources, convert, checked_categories(kept, f"'{instances}'"), destination)


def _joined(
    categories: list[Category], file: str | Path, more: list[Category], other: str | Path
) -> list[Category]:
    """Return the classes of both files; a class of both must have the same name in both."""
    known = {category["id"]: category for category in categories}
    for category in more:
        same = known.setdefault(category["id"], category)
        if same["name"] != category["name"]:
            raise InputError(
                f"category {category['id']} is '{same['name']}' in '{file}' but "
                f"'{category['name']}' in '{other}': give one of them another id"
            )
    return list(known.values())


def _rest_id(categories: list[Category], name: str | None, free_id: int) -> int | None:
    """Return the id of the stuff class of that name, which is appended if it is missing."""
    if name is None:
        return None
    for category in categories:
        if category["name"] == name:
            if category["isthing"]:
                raise InputError(f"--rest {name}: that class is a thing; name a stuff class")
            return category["id"]
    categories.append({"id": free_id, "name": name, "isthing": 0})
    return free_id


def _annotations_by_image(
    contents: dict[str | Path, dict], category_ids: Collection[int]
) -> dict[int | str, list[PlacedAnnotation]]:
    """Return the annotations of all files by the image's id."""
    annotations = defaultdict(list)
    for path, content in contents.items():
        for index, annotation in enumerate(content["annotations"]):
            where = f"'{path}', annotation {annotation.get('id', f'number {index}')}"
            category_id = field(annotation, "category_id", int, where)
            if category_id not in category_ids:
                raise InputError(f"{where}: category_id {category_id} is not in 'categories'")
            image_id = field(annotation, "image_id", (int, str), where)
            annotations[image_id].append((where, annotation))
    return annotations


def _sources(
    images: list[dict], file: str, annotations: dict[int | str, list[PlacedAnnotation]]
) -> list[_ImageOutlines]:
    """Return the images in the file's order, each with its annotations."""
    sources: dict[int | str, _ImageOutlines] = {}
    stems: set[str] = set()
    for index, image in enumerate(images):
        where = f"{file}, image {image.get('id', f'number {index}')}"
        stem = _stem(field(image, "file_name", str, where), where)
        if stem in stems:
            raise InputError(f"{where}: two images are called '{stem}': rename one")
        stems.add(stem)
        for key in ("height", "width"):
            field(image, key, int, where)
        image_id = field(image, "id", (int, str), where)
        if image_id in sources:
            raise InputError(f"{where}: another image has that id")
        sources[image_id] = _ImageOutlines(image, annotations.get(image_id, []))
    for image_id in annotations.keys() - sources.keys():
        where = annotations[image_id][0][0]
        raise InputError(f"{where}: image_id {image_id} is not in 'images'")
    return list(sources.values())


def _stem(name: str, where: str) -> str:
    """Return an image's name without suffix, which also names its PNG."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{where}: file_name '{name}' must be a path below the images' folder")
    return str(Path(name).with_suffix(""))


def _convert(
    source: _ImageOutlines, folder: Path, isthing: dict[int, bool], rest: int | None
) -> PanopticImage:
    height, width = source.image["height"], source.image["width"]
    path = folder / source.image["file_name"]
    size = image_size(path)
    if size != (height, width):
        raise InputError(
            f"image '{path}' is {size[1]}x{size[0]} pixels but its entry says {width}x{height}"
        )
    regions = [
        Region(
            annotation["category_id"],
            isthing[annotation["category_id"]],
            _rle(annotation, height, width, where),
            bool(annotation.get("iscrowd", 0)),
        )
        for where, annotation in source.annotations
        if annotation["category_id"] in isthing  # others were dropped
    ]
    ids, meaning = paint(regions, height, width, rest)
    name = source.image["file_name"]
    png_name = Path(name).with_suffix(".png").as_posix()
    return PanopticImage(source.image["id"], name, png_name, ids, meaning, path)


def _rle(annotation: dict[str, Any], height: int, width: int, where: str) -> dict[str, Any]:
    """Return the run-length code of an annotation's ``segmentation``: polygons or any code."""
    outline = field(annotation, "segmentation", (list, dict), where)
    if isinstance(outline, list):
        return polygons_to_rle(outline, height, width, where)
    counts = field(outline, "counts", (list, str), f"{where}, segmentation")
    size = field(outline, "size", list, f"{where}, segmentation")
    if size != [height, width]:
        raise InputError(f"{where}: its mask's size is {size} but the image's [{height}, {width}]")
    if rle_pixels(counts) != height * width:
        raise InputError(f"{where}: 'counts' is not a run-length code of {height}x{width}")
    if isinstance(counts, str):
        return {"size": size, "counts": counts.encode()}
    return rle_tools.frPyObjects(outline, height, width)
