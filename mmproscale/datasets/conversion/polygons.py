"""Conversion of COCO instances (polygons, run-length codes, crowds) to COCO's panoptic format."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pycocotools import mask as rle_tools

from mmproscale.datasets.checks.instance_faults import instance_faults
from mmproscale.datasets.checks.lenient_instances import read_leniently
from mmproscale.datasets.conversion.output import (
    Conversion,
    Destination,
    PanopticImage,
    SourcesError,
)
from mmproscale.datasets.conversion.painting import Region, paint, polygons_to_rle
from mmproscale.datasets.conversion.source_files import checked_categories
from mmproscale.datasets.conversion.summary import Counts
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.images import image_faults
from mmproscale.errors import InputError
from mmproscale.utils.faults import Fault, refuse
from mmproscale.utils.words import few

UNREAD_KEYS = {"bbox", "area", "color", "id"}
"""Keys of instances that this conversion does not read."""
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
    contents: dict[str | Path, dict] = {}
    contents[instances], notes = _read_checked(instances)
    categories = checked_categories(contents[instances]["categories"], f"'{instances}'", isthing=1)
    if stuff:
        contents[stuff], more_notes = _read_checked(stuff, contents[instances]["images"])
        notes += more_notes
        more = checked_categories(contents[stuff]["categories"], f"'{stuff}'", isthing=0)
        categories = _joined(categories, instances, more, stuff)
    unknown = sorted(set(drop) - {category["name"] for category in categories})
    if unknown:
        raise InputError(f"--drop {unknown[0]}: '{instances}' has no such class")
    known = {category["id"] for category in categories}
    kept = [category for category in categories if category["name"] not in drop]
    rest_id = _rest_id(kept, rest, 1 + max(known))
    annotations = defaultdict(list)
    for path, content in contents.items():
        for place, annotation in enumerate(content["annotations"]):
            number = annotation.get("id", f"number {place}")
            annotations[annotation["image_id"]].append(
                (f"'{path}', annotation {number}", annotation)
            )
    images_of_file = contents[instances]["images"]
    _check_names(images_of_file, f"'{instances}'")
    sources = [_ImageOutlines(image, annotations[image["id"]]) for image in images_of_file]
    isthing = {category["id"]: bool(category["isthing"]) for category in kept}
    convert = partial(_convert, folder=Path(images), isthing=isthing, rest=rest_id)
    kept = checked_categories(kept, f"'{instances}'")
    return Conversion(sources, convert, kept, destination, notes)


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


def _read_checked(
    path: str | Path, images: list[dict] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Read a file as the check of datasets does, refuse all its faults, and return its notes.

    Boxes and areas are not read, so their faults do not count. A file of stuff takes the images of
    the other file.
    """
    content, notes = read_leniently(read_coco_json(str(path)), str(path))
    content |= {"images": images} if images is not None else {}
    by_kind: dict[str, list] = {}
    for note in filter(_is_read, notes):
        by_kind.setdefault(note.kind, []).append(note)
    found = instance_faults(content, str(path), images is None, need_masks=True)
    faults = [fault for fault in found if _is_read(fault) and not fault.note]
    if faults:
        raise SourcesError([f"[{fault.kind}] {fault}" for fault in faults])
    return content, [f"note: {len(n)} [{kind}], first: {n[0]}" for kind, n in by_kind.items()]


def _is_read(fault: Fault) -> bool:
    return fault.field.rpartition(".")[2] not in UNREAD_KEYS


def _check_names(images: list[dict], file: str) -> None:
    """Refuse images whose names differ only in their suffixes: they also name the PNGs."""
    counts = Counter(str(Path(image["file_name"]).with_suffix("")) for image in images)
    if double := [stem for stem, count in counts.items() if count > 1]:
        raise InputError(
            f"{file}: several images are called {few(double)}: remove or rename all but one each"
        )


def _convert(
    source: _ImageOutlines, folder: Path, isthing: dict[int, bool], rest: int | None
) -> PanopticImage:
    height, width = source.image["height"], source.image["width"]
    path = folder / source.image["file_name"]
    refuse(image_faults(str(path), (height, width)))
    regions, places = [], []
    for where, annotation in source.annotations:
        if annotation["category_id"] in isthing:  # others were dropped
            code = _rle(annotation, height, width, where)
            is_crowd, category_id = bool(annotation["iscrowd"]), annotation["category_id"]
            regions.append(Region(category_id, isthing[category_id], code, is_crowd))
            places.append(where)
    ids, meaning, visible = paint(regions, height, width, rest)
    left_out = [
        ("under other outlines" if rle_tools.area(region.rle) else "outside the image", place)
        for index, (region, place) in enumerate(zip(regions, places, strict=True))
        if index not in visible
    ]
    counts = Counts(len(visible), left_out, crowds=_merged_crowds(regions))
    name = source.image["file_name"]
    png_name = Path(name).with_suffix(".png").as_posix()
    return PanopticImage(source.image["id"], name, png_name, ids, meaning, path, counts)


def _merged_crowds(regions: Sequence[Region]) -> int:
    """Return the number of crowds that share another crowd's segment: a class has one."""
    crowds = [region.category_id for region in regions if region.is_crowd and region.isthing]
    return len(crowds) - len(set(crowds))


def _rle(annotation: dict[str, Any], height: int, width: int, where: str) -> dict[str, Any]:
    """Return the run-length code of an annotation's sound ``segmentation``."""
    outline = annotation["segmentation"]
    if isinstance(outline, list):
        return polygons_to_rle(outline, height, width, where)
    if isinstance(outline["counts"], str):
        return {"size": outline["size"], "counts": outline["counts"].encode()}
    return rle_tools.frPyObjects(outline, height, width)
