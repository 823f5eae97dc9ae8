"""Categories of a model's labels, from the metainfo that its checkpoint keeps of the dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmproscale.errors import InputError


def known_categories(
    dataset_meta: dict[str, Any] | None, model: torch.nn.Module, checkpoint: str | Path
) -> list[dict[str, Any]]:
    """Return the categories in the order of labels, from a checkpoint's metainfo of its dataset.

    Ids are those of the metainfo's ``categories``, otherwise the labels. Without metainfo, classes
    are named by their labels.

    Raises:
        InputError: Checkpoint and model have different numbers of classes.
    """
    decode_head = getattr(model, "decode_head", None)
    fusion_head = getattr(model, "panoptic_fusion_head", None)
    head = decode_head or fusion_head or getattr(model, "bbox_head", None)
    total: int | None = getattr(head, "num_classes", None)
    meta = dataset_meta or {}
    if "classes" not in meta and total is None:
        raise InputError(f"checkpoint {checkpoint} has no list of its classes")
    total = len(meta["classes"]) if total is None else total
    things: int = 0 if decode_head else getattr(head, "num_things_classes", total)
    if "classes" not in meta:
        return [{"id": i, "name": f"class {i}", "isthing": int(i < things)} for i in range(total)]
    if len(meta["classes"]) != total:
        raise InputError(
            f"checkpoint {checkpoint} has {len(meta['classes'])} classes but the config's model "
            f"has {total}: use the config that it was trained with"
        )
    return _categories_of(meta, things)


def _categories_of(meta: dict[str, Any], things: int) -> list[dict[str, Any]]:
    """Return the categories of a dataset's metainfo; ``thing_classes`` are things.

    If it names neither things nor stuff, the first ``things`` classes are things.
    """
    names: Sequence[str] = meta["classes"]
    # Label maps with 0 for void, such as ADE20K's, count classes from 1.
    first = int(bool(meta.get("reduce_zero_label")))
    numbers = range(first, first + len(names))
    ids = [category["id"] for category in meta.get("categories", ())] or numbers
    colors = meta.get("palette")
    if not isinstance(colors, (list, tuple)) or len(colors) != len(names):
        # A palette may be named, or be that of the dataset before its classes were chosen.
        colors = [None] * len(names)
    named = "thing_classes" in meta or "stuff_classes" in meta
    n_things = len(meta.get("thing_classes", ())) if named else things
    categories = []
    for label, (category_id, name, color) in enumerate(zip(ids, names, colors, strict=True)):
        category = {"id": int(category_id), "name": name, "isthing": int(label < n_things)}
        categories.append(category | ({"color": [int(v) for v in color]} if color else {}))
    return categories
