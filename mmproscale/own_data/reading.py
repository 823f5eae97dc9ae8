"""Read a dataset that was found: check it, count it and, where asked, set images aside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.errors import InputError
from mmproscale.own_data.coco_layout import SEMANTIC, SplitFiles
from mmproscale.own_data.data_inspection import FoundData
from mmproscale.own_data.dataset_facts import Facts, check_files, coco_facts
from mmproscale.own_data.semantic_facts import (
    MapsOfSplit,
    class_file,
    class_names,
    read_maps,
    semantic_facts,
)
from mmproscale.own_data.semantic_layout import PairNames
from mmproscale.own_data.validation_split import set_aside, split_content, split_file

Show = Callable[[str, int, int], None]
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Reading:
    """How to read.

    Args:
        config: the file that will be written; lists of a split go beside it.
        val_share: of the images to validate on where no split is there to.
        seed: of that choice.
        workers: processes that read images.
        classes: file of the names of semantic classes.
        zero_is_void: label 0 of semantic maps is no class.
    """

    config: Path
    val_share: float | None = None
    seed: int = 0
    workers: int = 1
    classes: Path | None = None
    zero_is_void: bool = False


@dataclass(frozen=True)
class ReadData:
    """What was read.

    Args:
        data: where it lies; both splits are there.
        facts: of it.
        pairs: how semantic maps are named.
        lists: files to write, whose splits these are, and their text.
    """

    data: FoundData
    facts: Facts
    pairs: PairNames | None = None
    lists: dict[Path, str] = field(default_factory=dict)


def read_data(data: FoundData, reading: Reading, show: Show) -> ReadData:
    """Check and count a dataset.

    Args:
        data: as :func:`data_inspection.find_data` finds it.
        reading: how.
        show: called as (what is read, images done, images in all).

    Raises:
        InputError: it has a fault, or nothing to validate on and no share to set aside.
    """
    if data.val is None and reading.val_share is None:
        raise InputError(
            f"'{data.root}' has nothing to validate on: name it (--val-ann), or set a part of the "
            "training images aside (--val-share 0.1)"
        )
    if data.val is not None and reading.val_share is not None:
        raise InputError(f"--val-share: '{data.val.ann}' is there to validate on; leave it out")
    return (_read_semantic if data.kind == SEMANTIC else _read_coco)(data, reading, show)


def _read_coco(data: FoundData, reading: Reading, show: Show) -> ReadData:
    for name, files in _splits(data):
        check_files(data.kind, files, reading.workers, lambda *done, n=name: show(n, *done))
    train = read_coco_json(str(data.train.ann))
    if data.val is not None:
        val, names = read_coco_json(str(data.val.ann)), (data.train.ann, data.val.ann)
        return ReadData(data, coco_facts(data.kind, train, val, names))
    assert reading.val_share is not None
    train, val = split_content(train, reading.val_share, reading.seed)
    train_ann, val_ann = (split_file(reading.config, split, ".json") for split in SPLITS)
    facts = coco_facts(data.kind, train, val, (data.train.ann, data.train.ann))
    split = replace(
        data, train=replace(data.train, ann=train_ann), val=replace(data.train, ann=val_ann)
    )
    lists = {train_ann: json.dumps(train), val_ann: json.dumps(val)}
    return ReadData(split, facts, lists=lists)


def _splits(data: FoundData) -> list[tuple[str, SplitFiles]]:
    found = zip(SPLITS, (data.train, data.val), strict=True)
    return [(name, files) for name, files in found if files is not None]


def _read_semantic(data: FoundData, reading: Reading, show: Show) -> ReadData:
    parts = [
        read_maps(files, reading.workers, lambda *done, n=name: show(n, *done))
        for name, files in _splits(data)
    ]
    lists: dict[Path, str] = {}
    if data.val is None:
        assert reading.val_share is not None
        parts, lists = _set_maps_aside(parts[0], reading)
    train, val = parts
    if train.pairs != val.pairs:
        raise InputError(
            f"'{train.files.ann}' and '{val.files.ann}' name their files with other endings: "
            f"{train.pairs} and {val.pairs}; rename those of one"
        )
    path = class_file(data.root, reading.classes)
    names = None if path is None else class_names(path)
    facts = semantic_facts(train, val, names, reading.zero_is_void)
    return ReadData(replace(data, train=train.files, val=val.files), facts, train.pairs, lists)


def _set_maps_aside(
    maps: MapsOfSplit, reading: Reading
) -> tuple[list[MapsOfSplit], dict[Path, str]]:
    assert reading.val_share is not None
    parts, lists = [], {}
    places = set_aside(len(maps.names), reading.val_share, reading.seed)
    for split, chosen in zip(SPLITS, places, strict=True):
        path = split_file(reading.config, split, ".txt")
        part = maps.part(chosen)
        parts.append(replace(part, files=replace(maps.files, names=path)))
        lists[path] = "\n".join(part.names) + "\n"
    return parts, lists
