"""Reading of source files: label maps, image sizes, JSON fields and files of classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmproscale.datasets.checks.categories import order_categories
from mmproscale.datasets.formats.coco_json import read_json
from mmproscale.datasets.formats.colors import class_colors
from mmproscale.datasets.formats.images import decode_image, size_faults, unreadable
from mmproscale.datasets.formats.label_values import label_values
from mmproscale.errors import InputError
from mmproscale.utils.faults import refuse


def read_pixels(path: Path, what: str) -> np.ndarray:
    """Read the values of an image as they are stored: palette indices, 8 or 16 bits.

    Args:
        path: A PNG, or another file that Pillow reads without loss.
        what: Kind of file, for messages ('semantic map').

    Returns:
        (H, W), or (H, W, channels) with red first.

    Raises:
        InputError: The file does not exist or cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{what} '{path}' does not exist")
    try:
        return label_values(path.read_bytes())
    except OSError as error:
        reason = error.strerror or "it is empty, cut short or not an image"
    except ValueError as error:
        reason = str(error)
    raise InputError(f"{what} '{path}' cannot be read: {reason}")


def read_label_map(path: Path, what: str) -> np.ndarray:
    """Read a map with one whole number for each pixel, (H, W) int32.

    Raises:
        InputError: The file does not exist, cannot be read, or is in colour.
    """
    return as_label_map(read_pixels(path, what), path, what)


def as_label_map(values: np.ndarray, path: Path, what: str) -> np.ndarray:
    """Return the values of an image as (H, W) int32.

    Raises:
        InputError: The image is in colour or its values are not whole numbers.
    """
    if values.ndim != 2 or not (values.dtype == bool or np.issubdtype(values.dtype, np.integer)):
        raise InputError(
            f"{what} '{path}' has {values.ndim} dimensions of {values.dtype}: expected one whole "
            "number for each pixel (a PNG in grey or with a palette)"
        )
    return values.astype(np.int32)


def read_map_pair(image: Path, semantic: Path, instance: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the semantic and the instance map of an image.

    Returns:
        Classes, (H, W) int32, and the instance map's values as they are stored.

    Raises:
        InputError: A file does not exist, cannot be read or has another size than the image.
    """
    classes = read_label_map(semantic, "semantic map")
    instances = read_pixels(instance, "instance map")
    size = image_size(image)
    for path, values in ((semantic, classes), (instance, instances)):
        refuse(size_faults("map", str(path), values.shape, size, f"'{image}'"))
    return classes, instances


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width as training reads the image: after turning it upright by its Exif.

    Raises:
        InputError: The file does not exist, is cut short or is not an image.
    """
    if not path.is_file():
        raise InputError(f"image '{path}' does not exist")
    image = decode_image(path.read_bytes())
    if image is None:
        refuse([unreadable("image", str(path))])
    assert image is not None
    return image.shape[:2]


def field(entry: Any, key: str, kinds: type | tuple[type, ...], where: str) -> Any:
    """Return ``entry[key]``, whose type must be one of ``kinds``.

    Args:
        entry: A JSON object.
        key: The key to read.
        kinds: A type or several.
        where: The file and the entry's place in it, for messages.

    Raises:
        InputError: The entry is not an object, lacks the key, or its value has another type.
    """
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} is {_abbreviated(entry)}: expected an object with '{key}'")
    if key not in entry:
        raise InputError(f"{where} has no '{key}'")
    value, kinds = entry[key], kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join("object" if kind is dict else kind.__name__ for kind in kinds)
        raise InputError(f"{where}: '{key}' is {_abbreviated(value)}, expected {names}")
    return value


def _abbreviated(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_class_file(path: str | Path) -> list[dict[str, Any]]:
    """Read classes: ``[{"id": 1, "name": "road", "isthing": 0, "color": [128, 64, 128]}, ...]``.

    Args:
        path: A JSON file with such a list at its top level or under ``categories``; a class without
            ``color`` gets one.

    Returns:
        COCO's ``categories``, in the file's order.

    Raises:
        InputError: The file does not exist or is not such a list; two classes have the same id or
            name.
    """
    content = read_json(path, "the class file's name")
    if isinstance(content, dict):
        content = field(content, "categories", list, f"class file '{path}'")
    if not isinstance(content, list):
        raise InputError(f"class file '{path}' is not a list of classes")
    return checked_categories(content, f"class file '{path}'")


def checked_categories(
    entries: Sequence[Any], where: str, isthing: int | None = None
) -> list[dict[str, Any]]:
    """Check a JSON list of classes, and return it as COCO's ``categories`` with colours.

    Args:
        entries: Objects with ``id``, ``name``, ``isthing`` and optionally ``color``.
        where: The file, for messages.
        isthing: Value for classes without ``isthing``; None if each class must have it.

    Raises:
        InputError: A key is missing or its value has another type; two classes have the same id or
            name.
    """
    categories = [
        _category(entry, f"{where}, class {index}", isthing) for index, entry in enumerate(entries)
    ]
    order_categories(categories, where)
    return with_colors(categories)


def with_colors(categories: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return COCO's ``categories`` with a colour for each."""
    colors = class_colors(categories)
    return [category | {"color": list(colors[category["id"]])} for category in categories]


def _category(entry: Any, where: str, isthing: int | None) -> dict[str, Any]:
    name = field(entry, "name", str, where).strip()
    category = {"id": field(entry, "id", int, where), "name": name}
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
