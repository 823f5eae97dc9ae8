"""Semantic and instance maps of one's own to COCO's panoptic format.

A segment is what has one class and one instance number. Numbers count for things alone: stuff of
one class is one segment. Pixels of a thing class with number 0 are a crowd: nobody told them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.conversion.panoptic_output import (
    Destination,
    PanopticImage,
    Progress,
    describe_segments,
    write_dataset,
)
from mmproscale.datasets.conversion.reading import (
    check_one_size,
    image_size,
    read_label_map,
    read_pixels,
)
from mmproscale.datasets.formats.panoptic_png import VOID
from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import SUFFIXES, image_ids

MORE_THAN_NUMBERS = 2**32  # what keeps class and number apart in one integer


@dataclass(frozen=True)
class MapFolders:
    """Where images and their maps are.

    A map has its image's path below its folder, with another ending: ``city/1.jpg`` belongs to
    ``city/1.png``.

    Args:
        images: Folder of the images, with subfolders or without.
        semantic: Folder of the semantic maps: a class id for each pixel, in a grey PNG (8 or 16
            bits) or one with a palette.
        instance: Folder of the instance maps: a number for each pixel, 0 for none, in such a PNG
            or in a coloured one, where it is R + 256 G + 65536 B.
        semantic_suffix: What a semantic map's name ends in, in place of the image's suffix.
        instance_suffix: The same of an instance map.
    """

    images: Path
    semantic: Path
    instance: Path
    semantic_suffix: str = ".png"
    instance_suffix: str = ".png"


def convert_maps(
    folders: MapFolders,
    categories: Sequence[dict[str, Any]],
    destination: Destination,
    ignore: Sequence[int] = (255,),
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert all images of a folder.

    Args:
        folders: Images and maps.
        categories: The classes, as :func:`class_file.read_class_file` gives them.
        destination: Where the result goes.
        ignore: Values of the semantic map that mean void.
        workers: How many processes.
        progress: Called as (name, images done, images in all).

    Returns:
        The JSON's content.

    Raises:
        InputError: No image, a map that is missing or has an unknown class.
    """
    both = sorted(set(ignore) & {category["id"] for category in categories})
    if both:
        raise InputError(f"--ignore {both[0]}: a class has that id; name the value that means void")
    names = sorted(
        path.relative_to(folders.images).as_posix()
        for path in folders.images.rglob("*")
        if path.suffix.lower() in SUFFIXES
    )
    if not names:
        raise InputError(f"no image in '{folders.images}'")
    stems = [str(Path(name).with_suffix("")) for name in names]
    twice = next((stem for stem, after in pairwise(stems) if stem == after), None)
    if twice:
        raise InputError(f"two images of '{folders.images}' are called '{twice}': rename one")
    sources = list(zip(image_ids(stems), names, strict=True))
    convert = partial(
        _convert,
        folders=folders,
        isthing={category["id"]: bool(category["isthing"]) for category in categories},
        ignore=frozenset(ignore),
    )
    return write_dataset(sources, convert, categories, destination, workers, progress)


def _convert(
    source: tuple[int, str], folders: MapFolders, isthing: dict[int, bool], ignore: frozenset[int]
) -> PanopticImage:
    image_id, name = source
    path, stem = folders.images / name, str(Path(name).with_suffix(""))
    semantic = folders.semantic / f"{stem}{folders.semantic_suffix}"
    instance = folders.instance / f"{stem}{folders.instance_suffix}"
    classes, numbers = read_label_map(semantic, "semantic map"), _numbers(instance)
    size = image_size(path)
    check_one_size(semantic, classes.shape, path, size)
    check_one_size(instance, numbers.shape, path, size)
    ids, meaning = _segments(classes, numbers, isthing, ignore, semantic)
    image = {"id": image_id, "file_name": name, "height": size[0], "width": size[1]}
    return PanopticImage(image, ids, describe_segments(ids, meaning), f"{stem}.png", path)


def _numbers(path: Path) -> np.ndarray:
    """(H, W) instance numbers."""
    values = read_pixels(path, "instance map")
    if values.ndim == 3 and values.shape[2] == 3:
        return values.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    return read_label_map(path, "instance map")


def _segments(
    classes: np.ndarray,
    numbers: np.ndarray,
    isthing: dict[int, bool],
    ignore: frozenset[int],
    path: Path,
) -> tuple[np.ndarray, dict[int, tuple[int, int]]]:
    """(H, W) ids, counted from 1 by class and number, and what they mean."""
    things = [category_id for category_id, thing in isthing.items() if thing]
    numbers = np.where(np.isin(classes, things), numbers, 0).astype(np.int64)
    keys, inverse = np.unique(
        classes.astype(np.int64) * MORE_THAN_NUMBERS + numbers, return_inverse=True
    )
    ids_of_keys = np.full(len(keys), VOID, np.int32)
    meaning: dict[int, tuple[int, int]] = {}
    for index, key in enumerate(keys.tolist()):
        category_id, number = divmod(key, MORE_THAN_NUMBERS)
        if category_id in ignore:
            continue
        if category_id not in isthing:
            raise InputError(
                f"semantic map '{path}' has the value {category_id}, which is no class's id: add "
                "it to the class file, or to --ignore"
            )
        ids_of_keys[index] = len(meaning) + 1
        meaning[len(meaning) + 1] = category_id, int(isthing[category_id] and number == 0)
    return ids_of_keys[inverse.reshape(classes.shape)], meaning
