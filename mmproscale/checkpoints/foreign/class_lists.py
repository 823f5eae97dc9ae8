"""Lists of classes: those of published weights, those of a config, and how rows are permuted."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.datasets.ade20k import (
    ADE20KInstanceDataset,
    ADE20KPanopticDataset,
    ADE20KSegDataset,
)
from mmengine.config import Config
from mmengine.registry import DATASETS

from mmproscale.errors import InputError

Names = tuple[str | None, ...]
CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
    *("vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train"),
    *("motorcycle", "bicycle"),
)
"""Cityscapes by train id; the last 8 are things."""
_CITYSCAPES_THINGS = 8
# Category ids that COCO skips.
_COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


@cache
def ade20k() -> tuple[str, ...]:
    """Return ADE20K's 150 classes in the challenge's order, which mixes things and stuff."""
    return tuple(name.strip() for name in ADE20KSegDataset.METAINFO["classes"])


@cache
def things_first(dataset: str) -> tuple[str, ...]:
    """Return the classes of 'ade20k' or 'cityscapes', things before stuff, as mmdet orders them."""
    if dataset == "cityscapes":
        return CITYSCAPES[-_CITYSCAPES_THINGS:] + CITYSCAPES[:-_CITYSCAPES_THINGS]
    things = {name.strip() for name in ADE20KInstanceDataset.METAINFO["classes"]}
    return tuple(sorted(ade20k(), key=lambda name: name not in things))


@cache
def coco_by_id() -> Names:
    """Return COCO's classes by category id, 0 to 90; None where an id has no class."""
    names = iter(CocoDataset.METAINFO["classes"])
    return tuple(None if i == 0 or i in _COCO_GAPS else next(names) for i in range(91))


def source_classes(lists: str | None, count: int) -> Names | None:
    """Return the classes of weights that carry no names, by their number; None if unknown.

    Args:
        lists: `Source.classes`.
        count: Number of classes that the weights predict.
    """
    if lists == "coco-ids":
        return coco_by_id() if count == len(coco_by_id()) else None
    if lists != "detectron2":
        return None
    known: tuple[Names, ...] = (
        CocoPanopticDataset.METAINFO["classes"],
        CocoDataset.METAINFO["classes"],
        ade20k(),
        CITYSCAPES,
    )
    return next((names for names in known if len(names) == count), None)


# Beginning of an annotation file's name -> its classes, in the order of labels here.
_FILES = {
    "instances_train2017": lambda: CocoDataset.METAINFO["classes"],
    "panoptic_train2017": lambda: CocoPanopticDataset.METAINFO["classes"],
    "cityscapes_panoptic": lambda: things_first("cityscapes"),
    "ade20k_panoptic": lambda: things_first("ade20k"),
}


def config_classes(config: Config) -> tuple[str, ...] | None:
    """Return the names of a config's classes by label; None if only its data tells them."""
    dataset = _dataset(config)
    stated = dataset.get("metainfo", {}).get("classes")
    if stated:
        return tuple(stated)
    file = str(dataset.get("ann_file", "")).rpartition("/")[2]
    found = next((names for start, names in _FILES.items() if file.startswith(start)), None)
    if found:
        return tuple(found())
    if file or "type" not in dataset:
        return None
    names = getattr(DATASETS.get(dataset["type"]), "METAINFO", {}).get("classes")
    return tuple(names) if names else None


def config_metainfo(config: Config) -> dict[str, Any]:
    """Return what a checkpoint of a config says about its classes; empty if they are unknown."""
    names = config_classes(config)
    if names is None:
        return {}
    things = config.model.get("panoptic_head", {}).get("num_things_classes")
    if "decode_head" not in config.model and things is None:
        return {"classes": names}
    if things is not None:
        parts = {"thing_classes": names[:things], "stuff_classes": names[things:]}
        return {"classes": names, **parts}
    stated = _dataset(config).get("reduce_zero_label")
    return {"classes": names, "reduce_zero_label": bool(_zero_is_void(config, stated))}


def _zero_is_void(config: Config, stated: bool | None) -> bool | None:
    """Return mmseg's `reduce_zero_label` of a dataset: as stated, or its class's default."""
    kind = DATASETS.get(_dataset(config).get("type", "")) if stated is None else None
    for base in getattr(kind, "__mro__", ()):
        options = inspect.signature(base.__init__).parameters
        if "reduce_zero_label" in options:
            return options["reduce_zero_label"].default
    return stated


def _dataset(config: Config) -> Mapping[str, Any]:
    dataset = config.get("train_dataloader", {}).get("dataset", {})
    while "dataset" in dataset:  # wrapped, e.g. repeated
        dataset = dataset["dataset"]
    return dataset


def hub_classes(config: Mapping[str, Any] | None) -> Names | None:
    """Return the classes of a config.json's `id2label`; None without one or without names."""
    labels = (config or {}).get("id2label")
    if not isinstance(labels, Mapping) or not all(str(number).isdecimal() for number in labels):
        return None
    by_id = {int(number): str(name) for number, name in labels.items()}
    if all(re.fullmatch(r"LABEL_\d+", name) for name in by_id.values()):  # none were given
        return None
    return tuple(by_id.get(i) for i in range(max(by_id) + 1))


def rows_by_name(found: Names, wanted: Sequence[str], source: str) -> list[int]:
    """Return, for each of our labels, the row of the source's class of the same name.

    Args:
        found: The source's classes by row; None where a row has no class.
        wanted: Our classes by label.
        source: Name of the source, for messages.

    Raises:
        InputError: A class of either side has no counterpart.
    """
    for identity in (_plain, _ade20k_identity):
        rows = {identity(name): row for row, name in enumerate(found) if name is not None}
        ours = [identity(name) for name in wanted]
        unknown = [name for name in wanted if identity(name) not in rows]
        extra = [name for name in found if name is not None and identity(name) not in ours]
        if not unknown and not extra:
            return [rows[name] for name in ours]
    sides = (source, "the config") if extra else ("the config", source)
    names = extra or unknown
    raise InputError(
        f"{source}: {len(names)} of the classes of {sides[0]} match none of {sides[1]} by name "
        f"(first: {names[0]!r}): give a config of the same classes, or --partial to leave the "
        "class layer out"
    )


@cache
def _ade20k_numbers() -> dict[str, int]:
    """Return the number of each of ADE20K's classes, by both of its published names."""
    numbers = {_plain(name): number for number, name in enumerate(ade20k())}
    # Published panoptic models have other names, e.g. 'window' for 'windowpane'.
    others = zip(ADE20KPanopticDataset.METAINFO["classes"], things_first("ade20k"), strict=True)
    numbers |= {_plain(other): numbers[_plain(name)] for other, name in others}
    return numbers | {"plane": numbers["airplane"]}


def _ade20k_identity(name: str) -> str:
    """Return the number of a class of ADE20K, also of one with all its synonyms."""
    known = _ade20k_numbers()
    synonyms = [_plain(name)] if _plain(name) in known else map(_plain, name.split(","))
    numbers = {known[synonym] for synonym in synonyms if synonym in known}
    return f"ade20k {numbers.pop()}" if len(numbers) == 1 else _plain(name)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().lower()
