"""Reading of a dataset that was found: checks, class names, counts, and a validation split."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmproscale.datasets.formats.coco_json import read_coco_json, read_json
from mmproscale.errors import InputError
from mmproscale.own_data.data_search import FoundData
from mmproscale.own_data.dataset_facts import (
    Facts,
    annotated_images,
    check_coco_files,
    coco_facts,
    median_size,
)
from mmproscale.own_data.layouts import SEMANTIC, PairEndings, SplitFiles, image_files
from mmproscale.own_data.semantic_facts import read_maps, semantic_facts
from mmproscale.utils.text_files import read_text

ShowProgress = Callable[[str, int, int], None]
SPLITS = ("train", "val")
CLASS_FILES = ("classes.txt", "class_names.txt", "labels.txt", "classes.json")


@dataclass(frozen=True)
class ReadingOptions:
    """Options of the reading.

    Args:
        config: File that will be written; lists of a split go next to it.
        val_share: Share of the images to validate on if the data has no such split.
        seed: Seed that chooses these images.
        workers: Number of processes that read images.
        classes: File with the names of semantic classes.
        zero_is_void: Label 0 of semantic maps means 'no class'.
    """

    config: Path
    val_share: float | None = None
    seed: int = 0
    workers: int = 1
    classes: Path | None = None
    zero_is_void: bool = False


@dataclass(frozen=True)
class CheckedData:
    """Dataset that was checked and counted.

    Args:
        found: Its files; both splits exist.
        facts: Its numbers.
        endings: Endings of semantic maps and their images.
        zero_is_void: Label 0 of semantic maps means 'no class'.
        lists: Text of the files to write for a split that was set aside, by path.
    """

    found: FoundData
    facts: Facts
    endings: PairEndings | None = None
    zero_is_void: bool = False
    lists: dict[Path, str] = field(default_factory=dict)


def read_data(data: FoundData, options: ReadingOptions, show: ShowProgress) -> CheckedData:
    """Check and count a dataset, and set images aside if the options ask for it.

    Args:
        data: Dataset as :func:`data_search.find_data` finds it.
        options: Options of the reading.
        show: Function called with (name of the split, images done, images in all).

    Raises:
        InputError: The data has a fault, or neither a validation split nor a share to set aside.
    """
    if data.val is None and options.val_share is None:
        raise InputError(
            f"'{data.root}' has nothing to validate on: name it (--val-ann), or set a part of the "
            "training images aside (--val-share 0.1)"
        )
    if data.val is not None and options.val_share is not None:
        raise InputError(f"--val-share: '{data.val.ann}' is a validation split; leave it out")
    return (_read_semantic if data.kind == SEMANTIC else _read_coco)(data, options, show)


def stored_size(data: FoundData) -> tuple[int, int]:
    """Return the median (width, height) of the training images, which are not checked.

    COCO files state the sizes; of images with maps only the headers are read.
    """
    if data.kind != SEMANTIC:
        images = annotated_images(read_coco_json(str(data.train.ann)))
        return median_size([(image["width"], image["height"]) for image in images])
    sizes = []
    for path in image_files(data.train.img):
        with Image.open(path) as image:
            sizes.append(image.size)
    return median_size(sizes)


def _read_coco(data: FoundData, options: ReadingOptions, show: ShowProgress) -> CheckedData:
    for split, files in _splits(data):
        check_coco_files(data.kind, files, options.workers, partial(show, split))
    train = read_coco_json(str(data.train.ann))
    if data.val is not None:
        val, names = read_coco_json(str(data.val.ann)), (data.train.ann, data.val.ann)
        return CheckedData(data, coco_facts(data.kind, train, val, names))
    train, val = split_content(train, *_share_and_seed(options))
    train_ann, val_ann = (_list_file(options, split, ".json") for split in SPLITS)
    return CheckedData(
        replace(
            data, train=replace(data.train, ann=train_ann), val=replace(data.train, ann=val_ann)
        ),
        coco_facts(data.kind, train, val, (data.train.ann, data.train.ann)),
        lists={train_ann: json.dumps(train), val_ann: json.dumps(val)},
    )


def _splits(data: FoundData) -> list[tuple[str, SplitFiles]]:
    found = zip(SPLITS, (data.train, data.val), strict=True)
    return [(split, files) for split, files in found if files is not None]


def _read_semantic(data: FoundData, options: ReadingOptions, show: ShowProgress) -> CheckedData:
    parts = [
        read_maps(files, options.workers, partial(show, split)) for split, files in _splits(data)
    ]
    lists: dict[Path, str] = {}
    if data.val is None:
        chosen = set_aside(len(parts[0].names), *_share_and_seed(options))
        paths = [_list_file(options, split, ".txt") for split in SPLITS]
        parts = [parts[0].part(*one) for one in zip(chosen, paths, strict=True)]
        lists = {p: "\n".join(part.names) + "\n" for p, part in zip(paths, parts, strict=True)}
    train, val = parts
    if train.endings != val.endings:
        ours, theirs = (f"{part.endings.image} and {part.endings.map}" for part in parts)
        raise InputError(
            f"images and maps of '{train.files.ann}' end in {ours}, those of '{val.files.ann}' in "
            f"{theirs}: rename the files of one split"
        )
    path = find_class_file(data.root, options.classes)
    names = None if path is None else read_class_names(path)
    facts = semantic_facts(train, val, names, options.zero_is_void)
    found = replace(data, train=train.files, val=val.files)
    return CheckedData(found, facts, train.endings, options.zero_is_void, lists)


def find_class_file(root: Path, stated: Path | None) -> Path | None:
    """Find the file of class names: the stated one, or one in the folder of data.

    Raises:
        InputError: The stated file does not exist.
    """
    if stated is None:
        candidates = [root / name for name in CLASS_FILES]
    else:
        candidates = [stated, root / stated]
    found = next((path for path in candidates if path.is_file()), None)
    if stated is not None and found is None:
        raise InputError(f"--classes {stated} does not exist, here or in '{root}'")
    return found


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read names in the order of labels, one a line, or a JSON list of names or of objects.

    Raises:
        InputError: The file is neither, or has a name twice.
    """
    is_json = path.suffix.lower() == ".json"
    names = _names_of_json(path) if is_json else read_text(path).splitlines()
    names = [name.strip() for name in names if name.strip()]
    double = next((name for name in names if names.count(name) > 1), None)
    if not names or double:
        problem = f"has '{double}' twice" if double else "has no name"
        raise InputError(f"class file '{path}' {problem}: give one name a line, in label order")
    return tuple(names)


def _names_of_json(path: Path) -> list:
    entries = read_json(path, "--classes")
    listed = entries if isinstance(entries, list) else [None]
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in listed]
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"class file '{path}' is not a list of names: give one, in label order")
    return names


def _share_and_seed(options: ReadingOptions) -> tuple[float, int]:
    assert options.val_share is not None
    return options.val_share, options.seed


def _list_file(options: ReadingOptions, split: str, ending: str) -> Path:
    """Return the place of a split's list: next to the config, with its name."""
    return options.config.with_name(f"{options.config.stem}_{split}{ending}")


def set_aside(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Choose the indices to train on and those to validate on, both in order.

    Args:
        count: Number of images.
        share: Share to validate on; each part gets at least one image.
        seed: Seed of the choice; the same seed chooses the same images.

    Raises:
        InputError: There are fewer than two images.
    """
    if count < 2:
        raise InputError(
            f"{count} annotated image can't be split: annotate more, or name --val-ann"
        )
    taken = min(count - 1, max(1, round(count * share)))
    val = np.sort(np.random.default_rng(seed).permutation(count)[:taken]).tolist()
    return sorted(set(range(count)) - set(val)), val


def split_content(content: dict[str, Any], share: float, seed: int) -> list[dict[str, Any]]:
    """Split a COCO annotation file by its annotated images; everything else goes into both.

    Args:
        content: Content of the JSON.
        share: See :func:`set_aside`.
        seed: See :func:`set_aside`.
    """
    images, parts = annotated_images(content), []
    for indices in set_aside(len(images), share, seed):
        chosen = [images[index] for index in indices]
        ids = {image["id"] for image in chosen}
        kept = [a for a in content["annotations"] if a["image_id"] in ids]
        parts.append(content | dict(images=chosen, annotations=kept))
    return parts
