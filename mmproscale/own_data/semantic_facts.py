"""Read semantic maps: their classes, in how many images each occurs, what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mmproscale.datasets.checks.dataset_check import Progress
from mmproscale.datasets.conversion.source_files import read_pixels
from mmproscale.datasets.formats.images import image_faults
from mmproscale.datasets.loading.transforms import IGNORE_LABEL
from mmproscale.errors import InputError
from mmproscale.own_data.coco_layout import SEMANTIC, SplitFiles
from mmproscale.own_data.dataset_facts import Facts, median_size
from mmproscale.own_data.semantic_layout import PairNames, image_files, pair_names
from mmproscale.utils.faults import refuse

CLASS_FILES = ("classes.txt", "class_names.txt", "labels.txt", "classes.json")


@dataclass(frozen=True)
class MapsOfSplit:
    """The maps of one split.

    Args:
        files: where they lie.
        pairs: how they are named.
        names: of the images, without ending, below their folder.
        sizes: (width, height) of each.
        values: which labels occur in each, without 255.
    """

    files: SplitFiles
    pairs: PairNames
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    values: tuple[frozenset[int], ...]

    def part(self, places: Sequence[int]) -> MapsOfSplit:
        """Some of the images."""
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            sizes=tuple(self.sizes[place] for place in places),
            values=tuple(self.values[place] for place in places),
        )


def read_maps(files: SplitFiles, workers: int, progress: Progress) -> MapsOfSplit:
    """Read every image and its map.

    Raises:
        InputError: a file is missing or unreadable, a map has colours or another size than its
            image.
    """
    pairs = pair_names(files)
    images = image_files(files.img)
    read = partial(_read_one, files=files, pairs=pairs)
    sizes, values = [], []
    for done, (size, found) in enumerate(_map(read, images, workers), start=1):
        sizes.append(size)
        values.append(found)
        progress(done, len(images))
    names = [_name(image, files, pairs) for image in images]
    return MapsOfSplit(files, pairs, tuple(names), tuple(sizes), tuple(values))


def _map(read: partial, images: Sequence[Path], workers: int) -> Iterator:
    if workers == 1 or len(images) < 16:
        yield from map(read, images)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(read, images, chunksize=8)


def _read_one(
    image: Path, files: SplitFiles, pairs: PairNames
) -> tuple[tuple[int, int], frozenset[int]]:
    path = files.ann / f"{_name(image, files, pairs)}{pairs.map_ending}"
    labels = read_pixels(path, "label map")
    if labels.ndim != 2 or labels.dtype not in (np.uint8, bool):
        form = f"{labels.dtype} of shape {labels.shape}"
        raise InputError(f"label map '{path}' is {form}: write labels as a grey PNG of 8 bits")
    height, width = labels.shape
    refuse(image_faults(str(image), (height, width)))
    found = frozenset(np.unique(labels).tolist()) - {IGNORE_LABEL}
    return (width, height), found


def _name(image: Path, files: SplitFiles, pairs: PairNames) -> str:
    relative = image.relative_to(files.img).as_posix()
    return relative[: -len(pairs.image_ending)]


def class_file(root: Path, named: Path | None) -> Path | None:
    """The file of class names: the one that was named, or one in the folder of data."""
    if named is not None:
        candidates = [named, root / named]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            raise InputError(f"--classes {named} does not exist, here or in '{root}'")
        return found
    return next((root / name for name in CLASS_FILES if (root / name).is_file()), None)


def class_names(path: Path) -> tuple[str, ...]:
    """Names in the order of labels: one in each line or, in a JSON, a list of names or of objects.

    Raises:
        InputError: the file is not that, or has a name twice.
    """
    text = path.read_text(encoding="utf-8")
    names = _of_json(text, path) if path.suffix == ".json" else text.split("\n")
    names = [name.strip() for name in names if name.strip()]
    double = next((name for name in names if names.count(name) > 1), None)
    if not names or double:
        problem = f"has '{double}' twice" if double else "has no name"
        raise InputError(f"class file '{path}' {problem}: give one name a line, in label order")
    return tuple(names)


def _of_json(text: str, path: Path) -> list:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InputError(f"class file '{path}' is not valid JSON ({error}): mend it") from error
    listed = entries if isinstance(entries, list) else [None]
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in listed]
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"class file '{path}' is no list of names: give one, in label order")
    return names


def semantic_facts(
    train: MapsOfSplit, val: MapsOfSplit, names: tuple[str, ...] | None, zero_is_void: bool
) -> Facts:
    """The facts of two splits.

    Args:
        train: the maps to train on.
        val: the maps to validate on.
        names: of the classes in the order of labels, if known; else the labels are the names.
        zero_is_void: label 0 means 'no class' and the others go down by one, as in ADE20K.

    Raises:
        InputError: a map has a label that no class has.
    """
    shift = int(zero_is_void)
    classes = names or _numbered(train, shift)
    _check_labels((train, val), len(classes), shift)
    labels = range(shift, len(classes) + shift)
    occurrences = [sum(label in found for found in train.values) for label in labels]
    return Facts(
        kind=SEMANTIC,
        things=(),
        stuff=classes,
        counts=tuple(occurrences),
        train_images=len(train.names),
        val_images=len(val.names),
        size=median_size(train.sizes),
    )


def _numbered(train: MapsOfSplit, shift: int) -> tuple[str, ...]:
    """Names of classes that have none, from the labels that occur."""
    found = sorted(frozenset().union(*train.values) - set(range(shift)))
    if len(found) < 2 or len(found) * 2 < found[-1] + 1:
        listed = ", ".join(map(str, found[:8])) + ", ..." * (len(found) > 8)
        raise InputError(
            f"maps in '{train.files.ann}' have the labels {listed or 'none'} beside 255, which is "
            "'no class': number the classes 0, 1, 2, ..., or name all with --classes"
        )
    return tuple(f"class {label}" for label in range(shift, found[-1] + 1))


def _check_labels(parts: tuple[MapsOfSplit, ...], classes: int, shift: int) -> None:
    for part in parts:
        for name, found in zip(part.names, part.values, strict=True):
            beyond = sorted(label for label in found if label - shift >= classes)
            if not beyond:
                continue
            path = part.files.ann / f"{name}{part.pairs.map_ending}"
            hint = (
                "; is 0 no class? add --zero-is-void" if not shift and beyond == [classes] else ""
            )
            raise InputError(
                f"label map '{path}' has the label {beyond[0]}, but labels of {classes} classes "
                f"are {shift} to {classes - 1 + shift}, and 255 for none: name all classes{hint}"
            )
