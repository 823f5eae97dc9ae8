"""Facts of semantic maps: their labels, the classes that these mean, and signs of a mistake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmproscale.datasets.checks.categories import MAX_CLASSES
from mmproscale.datasets.checks.dataset_check import Progress
from mmproscale.datasets.conversion.source_files import read_pixels
from mmproscale.datasets.formats.images import image_faults
from mmproscale.datasets.loading.transforms import IGNORE_LABEL
from mmproscale.errors import InputError
from mmproscale.own_data.dataset_facts import Facts, Size, median_size
from mmproscale.own_data.layouts import (
    SEMANTIC,
    PairEndings,
    SplitFiles,
    image_files,
    pair_endings,
)
from mmproscale.utils.faults import refuse
from mmproscale.utils.words import few

LARGE_VOID = 1 / 3
"""Share of the pixels from which on void is worth a warning."""
VOID_NAMES = ("background", "_background_", "void", "unlabeled", "unlabelled", "ignore", "none")


@dataclass(frozen=True)
class SplitMaps:
    """Semantic maps of one split.

    Args:
        files: Their places.
        endings: Endings of images and maps.
        names: Names of the images, without ending, relative to their folder.
        sizes: (width, height) of each image.
        labels: Label -> number of its pixels, of each map.
    """

    files: SplitFiles
    endings: PairEndings
    names: tuple[str, ...]
    sizes: tuple[Size, ...]
    labels: tuple[dict[int, int], ...]

    def part(self, indices: Sequence[int], names: Path) -> SplitMaps:
        """Return some of the images, which the file ``names`` lists."""
        return replace(
            self,
            files=replace(self.files, names=names),
            names=tuple(self.names[index] for index in indices),
            sizes=tuple(self.sizes[index] for index in indices),
            labels=tuple(self.labels[index] for index in indices),
        )


def read_maps(files: SplitFiles, workers: int, progress: Progress) -> SplitMaps:
    """Read every image and its map.

    Raises:
        InputError: A file is missing or unreadable; a map has colours, or another size than its
            image.
    """
    endings = pair_endings(files)
    images = image_files(files.img)
    names = [str(i.relative_to(files.img).as_posix()).removesuffix(endings.image) for i in images]
    maps = [files.ann / f"{name}{endings.map}" for name in names]
    read = []
    for done, found in enumerate(_read_pairs(images, maps, workers), start=1):
        read.append(found)
        progress(done, len(images))
    sizes, labels = zip(*read, strict=True)
    return SplitMaps(files, endings, tuple(names), sizes, labels)


def _read_pairs(images: list[Path], maps: list[Path], workers: int) -> Iterator:
    if workers == 1 or len(images) < 16:
        yield from map(_read_pair, images, maps)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_read_pair, images, maps, chunksize=8)


def _read_pair(image: Path, path: Path) -> tuple[Size, dict[int, int]]:
    labels = read_pixels(path, "label map")
    if labels.ndim != 2 or labels.dtype != np.uint8:
        form = f"{labels.dtype} of shape {labels.shape}"
        raise InputError(f"label map '{path}' is {form}: write labels as a grey PNG of 8 bits")
    height, width = labels.shape
    refuse(image_faults(str(image), (height, width)))
    values, pixels = np.unique(labels, return_counts=True)
    return (width, height), dict(zip(values.tolist(), pixels.tolist(), strict=True))


def semantic_facts(
    train: SplitMaps, val: SplitMaps, names: tuple[str, ...] | None, zero_is_void: bool
) -> Facts:
    """Count the classes and images of two splits of semantic maps.

    Args:
        train: Maps to train on.
        val: Maps to validate on.
        names: Names of the classes in the order of labels; None numbers the classes.
        zero_is_void: Label 0 means 'no class' and the others go down by one, as in ADE20K.

    Raises:
        InputError: A map has a label that belongs to no class.
    """
    first = int(zero_is_void)
    classes = names or _numbered_classes(train, first)
    if len(classes) > MAX_CLASSES - first:
        raise InputError(
            f"{len(classes)} classes: maps of 8 bits hold {MAX_CLASSES - first} and void"
        )
    for maps in (train, val):
        _check_labels(maps, len(classes), first)
    return Facts(
        kind=SEMANTIC,
        things=(),
        stuff=classes,
        counts=tuple(
            sum(label in found for found in train.labels)
            for label in range(first, len(classes) + first)
        ),
        train_images=len(train.names),
        val_images=len(val.names),
        size=median_size(train.sizes),
        warnings=tuple(_label_warnings(train, classes, first)),
    )


def _label_warnings(train: SplitMaps, classes: tuple[str, ...], first: int) -> Iterator[str]:
    """Yield lines on classes that no map has, on void that is large, and on shifted names."""
    pixels: Counter[int] = Counter()
    for found in train.labels:
        pixels.update(found)
    absent = [name for label, name in enumerate(classes, first) if not pixels[label]]
    if absent:
        yield (
            f"{len(absent)} of {len(classes)} classes occur in no map of '{train.files.ann}': "
            f"{few(absent)}"
        )
    for value in (IGNORE_LABEL, *range(first)):
        share = pixels[value] / pixels.total()
        if share >= LARGE_VOID:
            yield f"label {value} covers {share:.0%} of the pixels, which are void: not learned"
    looks_void = classes[0].lower() in VOID_NAMES
    if first and (looks_void or classes[-1] in absent):
        last = len(classes)
        yield (
            f"--zero-is-void gives label 1 the first name, '{classes[0]}', and label {last} the "
            f"last, '{classes[-1]}' ({pixels[last]} pixels): if the list of names begins with that "
            "of label 0, remove it there"
        )
    elif looks_void and pixels[0] and "background" not in classes[0].lower():
        share = pixels[0] / pixels.total()
        yield (
            f"label 0 is the class '{classes[0]}' ({share:.0%} of the pixels) "
            "and is learned: --zero-is-void makes it void, without its name in the list"
        )


def _numbered_classes(train: SplitMaps, first: int) -> tuple[str, ...]:
    """Name the classes by the labels that occur."""
    found = sorted(set().union(*train.labels) - {IGNORE_LABEL, *range(first)})
    if len(found) < 2 or len(found) * 2 < found[-1] + 1:
        listed = ", ".join(map(str, found[:8])) + ", ..." * (len(found) > 8)
        raise InputError(
            f"maps in '{train.files.ann}' have the labels {listed or 'none'} and 255, which is "
            "'no class': number the classes 0, 1, 2, ..., or name all with --classes"
        )
    return tuple(f"class {label}" for label in range(first, found[-1] + 1))


def _check_labels(maps: SplitMaps, classes: int, first: int) -> None:
    for name, found in zip(maps.names, maps.labels, strict=True):
        beyond = sorted(n for n in found if n - first >= classes and n != IGNORE_LABEL)
        if not beyond:
            continue
        path = maps.files.ann / f"{name}{maps.endings.map}"
        may_be_void = not first and beyond == [classes]
        hint = "; is 0 no class? add --zero-is-void" if may_be_void else ""
        raise InputError(
            f"label map '{path}' has the label {beyond[0]}, but labels of {classes} classes "
            f"are {first} to {classes - 1 + first}, and 255 for 'no class': name all classes{hint}"
        )
