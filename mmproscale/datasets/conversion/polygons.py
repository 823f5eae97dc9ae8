"""COCO instances (polygons, run-length codes, crowds) to COCO's panoptic format."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pycocotools import mask as rle_tools

from mmproscale.datasets.checks.instance_faults import rle_pixels
from mmproscale.datasets.conversion.class_file import checked_categories
from mmproscale.datasets.conversion.painting import Region, paint, polygons_to_rle
from mmproscale.datasets.conversion.panoptic_output import (
    Destination,
    PanopticImage,
    Progress,
    write_dataset,
)
from mmproscale.datasets.conversion.reading import field, image_size
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.errors import InputError


@dataclass(frozen=True)
class _Outlines:
    image: dict[str, Any]
    annotations: list[tuple[str, dict[str, Any]]]  # each with its place, for messages


def convert_polygons(
    instances: str | Path,
    images: str | Path,
    destination: Destination,
    stuff: str | Path | None = None,
    rest: str | None = None,
    drop: Sequence[str] = (),
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert a file of outlines; :mod:`painting` says what happens where they overlap.

    Args:
        instances: COCO's instances. A category is a thing unless its ``isthing`` is 0.
        images: Folder of the images that it names.
        destination: Where the result goes.
        stuff: The same for stuff, as COCO's ``stuff_*.json``: a category is stuff.
        rest: Name of the stuff class of pixels that nothing covers, added where there is none of
            that name; None: they are void.
        drop: Names of classes whose outlines are left out.
        workers: How many processes.
        progress: Called as (name, images done, images in all).

    Returns:
        The JSON's content.

    Raises:
        InputError: A file is missing or is not that.
    """
    first = read_coco_json(str(instances))
    second = read_coco_json(str(stuff)) if stuff else {"annotations": []}
    categories = _categories(first, instances, second, stuff)
    unknown = sorted(set(drop) - {category["name"] for category in categories})
    if unknown:
        raise InputError(f"--drop {unknown[0]}: '{instances}' has no such class")
    kept = [category for category in categories if category["name"] not in drop]
    rest_id = _rest(kept, rest, 1 + max(category["id"] for category in categories))
    sources = _by_image(
        first["images"], ((instances, first["annotations"]), (stuff, second["annotations"]))
    )
    _check_categories(sources, {category["id"] for category in categories})
    isthing = {category["id"]: bool(category["isthing"]) for category in kept}
    convert = partial(_convert, folder=Path(images), isthing=isthing, rest=rest_id)
    kept = checked_categories(kept, f"'{instances}'")
    return write_dataset(sources, convert, kept, destination, workers, progress)


def _categories(first: dict, instances, second: dict, stuff) -> list[dict[str, Any]]:
    """Classes of both files; one that both have must be the same."""
    categories = checked_categories(first["categories"], f"'{instances}'", isthing=1)
    known = {category["id"]: category for category in categories}
    for category in (
        checked_categories(second.get("categories", []), f"'{stuff}'", isthing=0) if stuff else ()
    ):
        same = known.setdefault(category["id"], category)
        if same["name"] != category["name"]:
            raise InputError(
                f"category {category['id']} is '{same['name']}' in '{instances}' but "
                f"'{category['name']}' in '{stuff}': give one of them another id"
            )
    return list(known.values())


def _rest(categories: list[dict[str, Any]], name: str | None, free_id: int) -> int | None:
    """Id of the stuff class of that name, which is appended where it is missing."""
    if name is None:
        return None
    for category in categories:
        if category["name"] == name:
            if category["isthing"]:
                raise InputError(f"--rest {name}: that class is a thing, name one that is stuff")
            return category["id"]
    categories.append({"id": free_id, "name": name, "isthing": 0})
    return free_id


def _by_image(images: list[dict], files: Sequence[tuple[Any, list[dict]]]) -> list[_Outlines]:
    """Images in the file's order, each with its annotations of all files."""
    of_image = defaultdict(list)
    for path, annotations in files:
        for index, annotation in enumerate(annotations):
            where = f"'{path}', annotation {annotation.get('id', f'number {index}')}"
            of_image[field(annotation, "image_id", (int, str), where)].append((where, annotation))
    sources: list[_Outlines] = []
    taken: set[str] = set()
    seen: set[int | str] = set()
    for index, image in enumerate(images):
        where = f"'{files[0][0]}', image {image.get('id', f'number {index}')}"
        _check_name(image, taken, where)
        entry = {key: image[key] for key in ("id", "file_name") if key in image}
        entry |= {key: field(image, key, int, where) for key in ("height", "width")}
        image_id = field(image, "id", (int, str), where)
        if image_id in seen:
            raise InputError(f"{where}: another image has that id")
        seen.add(image_id)
        sources.append(_Outlines(entry, of_image.get(image_id, [])))
    for image_id in of_image.keys() - seen:
        where = of_image[image_id][0][0]
        raise InputError(f"{where}: image_id {image_id} is not in 'images'")
    return sources


def _check_name(image: dict[str, Any], taken: set[str], where: str) -> None:
    """A PNG is named as its image: below its folder, and as no other; ``taken`` grows."""
    name = field(image, "file_name", str, where)
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{where}: file_name '{name}' must be a path below the images' folder")
    stem = str(Path(name).with_suffix(""))
    if stem in taken:
        raise InputError(f"{where}: two images are called '{stem}': rename one")
    taken.add(stem)


def _check_categories(sources: Sequence[_Outlines], known: set[int]) -> None:
    for source in sources:
        for where, annotation in source.annotations:
            if field(annotation, "category_id", int, where) not in known:
                raise InputError(
                    f"{where}: category_id {annotation['category_id']} is not in 'categories'"
                )


def _convert(
    source: _Outlines, folder: Path, isthing: dict[int, bool], rest: int | None
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
    ids, segments = paint(regions, height, width, rest)
    png_name = Path(source.image["file_name"]).with_suffix(".png").as_posix()
    return PanopticImage(source.image, ids, segments, png_name, path)


def _rle(annotation: dict[str, Any], height: int, width: int, where: str) -> dict[str, Any]:
    """The run-length code of an annotation's ``segmentation``, whatever its form."""
    outline = field(annotation, "segmentation", (list, dict), where)
    if isinstance(outline, list):
        return polygons_to_rle(outline, height, width, where)
    counts = field(outline, "counts", (list, str), f"{where}, segmentation")
    size = field(outline, "size", list, f"{where}, segmentation")
    if size != [height, width]:
        raise InputError(f"{where}: its mask's size is {size} but the image's [{height}, {width}]")
    if rle_pixels(counts) != height * width:
        raise InputError(f"{where}: 'counts' is no run-length code of {height}x{width}")
    if isinstance(counts, str):
        return {"size": size, "counts": counts.encode()}
    return rle_tools.frPyObjects(outline, height, width)
