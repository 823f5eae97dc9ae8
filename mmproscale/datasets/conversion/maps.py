"""Conversion of a user's semantic and instance maps to COCO's panoptic format.

Pixels with the same class and the same instance number are one segment. Numbers count only for
things: all stuff of a class is one segment. Pixels of a thing class with number 0 are a crowd.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.conversion.output import Conversion, Destination, PanopticImage
from mmproscale.datasets.conversion.source_files import as_label_map, read_map_pair
from mmproscale.datasets.conversion.summary import Counts
from mmproscale.datasets.formats.panoptic_png import VOID
from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import SUFFIXES, image_ids, visible
from mmproscale.utils.words import few

NUMBER_RANGE = 2**32  # class * 2**32 + number is one integer for both


@dataclass(frozen=True)
class MapFolders:
    """Folders of images and their maps.

    A map has its image's path below its folder, with another ending: ``city/1.jpg`` belongs to
    ``city/1.png``.

    Args:
        images: Folder of the images, which may be in subfolders.
        semantic: Folder of the semantic maps: a class id for each pixel, in a grey PNG (8 or 16
            bits) or one with a palette.
        instance: Folder of the instance maps: a number for each pixel, 0 for no instance, in such a
            PNG or in a coloured one, where it is R + 256 G + 65536 B.
        semantic_suffix: Ending of a semantic map's name, which replaces the image's suffix.
        instance_suffix: Ending of an instance map's name, which replaces the image's suffix.
    """

    images: Path
    semantic: Path
    instance: Path
    semantic_suffix: str = ".png"
    instance_suffix: str = ".png"


def prepare_maps(
    folders: MapFolders,
    categories: Sequence[dict[str, Any]],
    destination: Destination,
    ignore: Sequence[int] = (255,),
) -> Conversion:
    """Prepare the conversion of all images of a folder.

    Args:
        folders: Images and maps.
        categories: The classes, as :func:`source_files.read_class_file` returns them.
        destination: Files and folders to write.
        ignore: Values of the semantic map that mean void.

    Raises:
        InputError: There is no image, two images have the same name, or a class has an id that
            ``ignore`` lists.
    """
    both = sorted(set(ignore) & {category["id"] for category in categories})
    if both:
        raise InputError(f"--ignore {both[0]}: a class has that id; name the value that means void")
    names = sorted(
        path.relative_to(folders.images).as_posix()
        for path in visible(folders.images.rglob("*"), folders.images)
        if path.suffix.lower() in SUFFIXES
    )
    if not names:
        raise InputError(f"no image in '{folders.images}'")
    stems = [str(Path(name).with_suffix("")) for name in names]
    if double := [stem for stem, count in Counter(stems).items() if count > 1]:
        raise InputError(
            f"several images of '{folders.images}' are called {few(double)}: rename all but one"
        )
    sources = list(zip(image_ids(stems), names, strict=True))
    isthing = {category["id"]: bool(category["isthing"]) for category in categories}
    convert = partial(_convert, folders=folders, isthing=isthing, ignore=frozenset(ignore))
    return Conversion(sources, convert, categories, destination)


def _convert(
    source: tuple[int, str], folders: MapFolders, isthing: dict[int, bool], ignore: frozenset[int]
) -> PanopticImage:
    image_id, name = source
    path, stem = folders.images / name, str(Path(name).with_suffix(""))
    semantic = folders.semantic / f"{stem}{folders.semantic_suffix}"
    instance = folders.instance / f"{stem}{folders.instance_suffix}"
    classes, values = read_map_pair(path, semantic, instance)
    numbers = _numbers(values, instance)
    ids, meaning = _segments(classes, numbers, isthing, ignore, semantic)
    counts = _counts(classes, numbers, ids, ignore, semantic)
    return PanopticImage(image_id, name, f"{stem}.png", ids, meaning, path, counts)


def _counts(
    classes: np.ndarray, numbers: np.ndarray, ids: np.ndarray, ignore: frozenset[int], path: Path
) -> Counts:
    """Count pixels of void values, and instance numbers that lie on void only."""
    present = np.flatnonzero(np.bincount(classes.ravel())).tolist()
    void = {value: int((classes == value).sum()) for value in present if value in ignore}
    seen = set(np.unique(numbers[(ids == VOID) & (numbers > 0)]).tolist())
    lost = seen - set(np.unique(numbers[ids != VOID]).tolist())
    places = [("on void", f"'{path}', instance number {number}") for number in sorted(lost)]
    return Counts(0, places, void)


def _numbers(values: np.ndarray, path: Path) -> np.ndarray:
    """Return the instance numbers, (H, W), of an instance map's stored values."""
    if values.ndim == 3 and values.shape[2] == 3:
        return values.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    return as_label_map(values, path, "instance map")


def _check_values(classes: np.ndarray, known: set[int], path: Path) -> None:
    values, pixels = np.unique(classes, return_counts=True)
    pairs = zip(values.tolist(), pixels.tolist(), strict=True)
    unknown = [f"{value} ({count} pixels)" for value, count in pairs if value not in known]
    if unknown:
        raise InputError(
            f"semantic map '{path}' has values that are no class ids: {', '.join(unknown[:8])}"
            f"{', ...' * (len(unknown) > 8)}: add them to the class file, or to --ignore"
        )


def _segments(
    classes: np.ndarray,
    numbers: np.ndarray,
    isthing: dict[int, bool],
    ignore: frozenset[int],
    path: Path,
) -> tuple[np.ndarray, dict[int, tuple[int, int]]]:
    """Return ids (H, W), numbered by class and number, and id -> (category id, crowd flag)."""
    _check_values(classes, isthing.keys() | ignore, path)
    things = [category_id for category_id, thing in isthing.items() if thing]
    numbers = np.where(np.isin(classes, things), numbers, 0).astype(np.int64)
    keys, inverse = np.unique(
        classes.astype(np.int64) * NUMBER_RANGE + numbers, return_inverse=True
    )
    ids_of_keys = np.full(len(keys), VOID, np.int32)
    meaning: dict[int, tuple[int, int]] = {}
    for index, key in enumerate(keys.tolist()):
        category_id, number = divmod(key, NUMBER_RANGE)
        if category_id in ignore:
            continue
        ids_of_keys[index] = len(meaning) + 1
        meaning[len(meaning) + 1] = category_id, int(isthing[category_id] and number == 0)
    return ids_of_keys[inverse.reshape(classes.shape)], meaning
