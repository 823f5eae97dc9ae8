"""The classes of a dataset of one's own: a JSON list, as COCO's ``categories``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmproscale.datasets.checks.categories import order_categories
from mmproscale.datasets.conversion.reading import field
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.datasets.formats.colors import class_colors
from mmproscale.errors import InputError


def read_class_file(path: str | Path) -> list[dict[str, Any]]:
    """Read classes: ``[{"id": 1, "name": "road", "isthing": 0, "color": [128, 64, 128]}, ...]``.

    Args:
        path: A JSON file, which is such a list or has one as its ``categories``; a class without
            ``color`` gets one.

    Returns:
        COCO's ``categories``, in the file's order.

    Raises:
        InputError: The file is missing or is not that; an id or a name is there twice.
    """
    content = read_json(path, "the class file's name")
    if isinstance(content, dict):
        content = field(content, "categories", list, f"class file '{path}'")
    if not isinstance(content, list):
        raise InputError(f"class file '{path}' is no list of classes")
    return checked_categories(content, f"class file '{path}'")


def checked_categories(
    entries: Sequence[Any], where: str, isthing: int | None = None
) -> list[dict[str, Any]]:
    """COCO's ``categories`` of a JSON list, with a colour for each.

    Args:
        entries: Objects with ``id``, ``name``, ``isthing`` and, if they like, ``color``.
        where: The file, for messages.
        isthing: What a class without ``isthing`` is; None where it must be said.

    Raises:
        InputError: A key is missing or of another kind; an id or a name is there twice.
    """
    categories = [
        _category(entry, f"{where}, class {index}", isthing) for index, entry in enumerate(entries)
    ]
    order_categories(categories, where)
    colors = class_colors(categories)
    return [category | {"color": list(colors[category["id"]])} for category in categories]


def _category(entry: Any, where: str, isthing: int | None) -> dict[str, Any]:
    category = {"id": field(entry, "id", int, where), "name": field(entry, "name", str, where)}
    if isthing is None or "isthing" in entry:
        isthing = int(field(entry, "isthing", (int, bool), where))
    category["isthing"] = isthing
    color = entry.get("color")
    if color is not None:
        is_color = isinstance(color, list) and len(color) == 3
        if not is_color or not all(isinstance(v, int) and 0 <= v <= 255 for v in color):
            raise InputError(f"{where}: 'color' is {color}, expected three numbers from 0 to 255")
        category["color"] = color
    return category
