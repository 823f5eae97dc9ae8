"""Categories of a COCO file: their faults, and the classes that they make by label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmproscale.datasets.checks.annotation_faults import (
    RepeatedValues,
    category_id_faults,
    missing_keys,
)
from mmproscale.datasets.formats.colors import class_colors
from mmproscale.utils.faults import Fault, excerpt, is_int, refuse

# Semantic maps hold labels in 8 bits, and 255 there means 'no label'.
MAX_CLASSES = 255


def order_categories(categories: Sequence[dict], path: str) -> list[dict]:
    """Return `categories` things first, in the file's order within things and within stuff.

    Args:
        categories: COCO's list of dicts with `id`, `name` and `isthing`.
        path: the annotation file's name, for messages.

    Raises:
        InputError: there are no categories or too many, a key is missing, two categories have the
            same id or name.
    """
    refuse(category_faults(categories, path))
    return sorted(categories, key=lambda category: not category["isthing"])


def class_metainfo(ordered: Sequence[dict]) -> dict:
    """Return mmdet's `classes`, `thing_classes`, `stuff_classes` and `palette`, indexed by label.

    `categories` is added, so that a checkpoint knows the dataset's category ids.

    Args:
        ordered: categories in the order of their labels, things first.
    """
    names = [category["name"] for category in ordered]
    n_things = sum(bool(category["isthing"]) for category in ordered)
    colors = class_colors(ordered)
    return dict(
        classes=tuple(names),
        thing_classes=tuple(names[:n_things]),
        stuff_classes=tuple(names[n_things:]),
        palette=[colors[category["id"]] for category in ordered],
        categories=[dict(id=c["id"], name=c["name"], isthing=int(c["isthing"])) for c in ordered],
    )


def category_faults(
    categories: Sequence[Mapping], file: str, panoptic: bool = True
) -> Iterator[Fault]:
    """Yield faults of `categories`: keys, types, repeated values, their number.

    Args:
        categories: the list of dicts.
        file: the annotation file's name.
        panoptic: whether each must have `isthing`, and labels must fit a semantic map.
    """
    if not categories or (panoptic and len(categories) > MAX_CLASSES):
        problem = f"has {len(categories)} entries"
        expected = f"expected 1 to {MAX_CLASSES}" if panoptic else "expected at least one"
        yield Fault("category-count", file, "categories", problem, expected)
    ids = RepeatedValues("category-id-twice", "categories have one id")
    names = RepeatedValues("category-name-twice", "categories have one name")
    for place, category in enumerate(categories):
        record = f"categories[{place}]"
        yield from missing_keys(category, ("id", "name"), "category-key-missing", file, record)
        if "id" in category:
            yield from category_id_faults(category["id"], file, f"{record}.id")
            if is_int(category["id"]):
                yield from ids.faults(category["id"], file, f"{record}.id")
        if "name" in category:
            yield from _name(category["name"], names, file, f"{record}.name")
        if panoptic:
            yield from _isthing(category, file, record)
            yield from _color(category.get("color"), file, f"{record}.color")


def _name(name: Any, names: RepeatedValues, file: str, field: str) -> Iterator[Fault]:
    if not isinstance(name, str) or not name.strip():
        problem = f"is {excerpt(name)}, not a name"
        yield Fault("category-name-type", file, field, problem, "name it")
    else:
        yield from names.faults(name, file, field)
        if name != name.strip():
            problem = f"is {excerpt(name)}, with spaces around it, which belong to the name"
            yield Fault("category-name-spaces", file, field, problem, "remove them", note=True)


def _isthing(category: Mapping, file: str, record: str) -> Iterator[Fault]:
    field, action = f"{record}.isthing", "1 for things, 0 for stuff"
    if "isthing" not in category:
        problem = f"is missing ({excerpt(category.get('name'))} has no 'isthing')"
        yield Fault("isthing-missing", file, field, problem, f"add {action}")
    elif category["isthing"] not in (0, 1):
        problem = f"is {excerpt(category['isthing'])}"
        yield Fault("isthing-value", file, field, problem, f"use {action}")


def _color(color: Any, file: str, field: str) -> Iterator[Fault]:
    if color is None:
        return
    sound = isinstance(color, list) and len(color) == 3
    if not sound or not all(is_int(part) and 0 <= part <= 255 for part in color):
        problem = f"is {excerpt(color)}, not a colour"
        action = "give [red, green, blue] from 0 to 255, or leave it out"
        yield Fault("category-color", file, field, problem, action)
