"""A COCO panoptic dataset on disk: the JSON, the classes it defines, the files it names."""

import colorsys
import json
import os
import os.path as osp
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.fileio import get_text

from mmproscale.errors import InputError

# Semantic maps hold labels in 8 bits, and 255 there means 'no label'.
MAX_CLASSES = 255


def read_annotation_json(path: str, backend_args: dict | None = None) -> Any:
    """Read a JSON file of annotations or results, local or on any of mmengine's file backends.

    Raises:
        InputError: the file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(get_text(path, backend_args=backend_args))
    except FileNotFoundError:
        raise InputError(f"annotation file '{path}' does not exist: check ann_file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"annotation file '{path}' is not valid JSON: {error}") from None
    except OSError as error:
        raise InputError(f"annotation file '{path}' cannot be read: {error.strerror}") from None


def read_panoptic_json(
    path: str, need_annotations: bool = True, backend_args: dict | None = None
) -> dict:
    """Read a COCO panoptic annotation file.

    Args:
        path: the JSON file, local or on any of mmengine's file backends.
        need_annotations: False where images without ground truth will do (a test set).
        backend_args: mmengine's choice of file backend.

    Returns:
        The file's dict; `annotations` is an empty list where it is absent and not needed.

    Raises:
        InputError: the file is missing, is not JSON, or lacks one of COCO panoptic's lists.
    """
    content = read_annotation_json(path, backend_args)
    if not isinstance(content, dict):
        raise InputError(
            f"annotation file '{path}' is not COCO panoptic: its top level is no object"
        )
    if not need_annotations:
        content.setdefault("annotations", [])
    for key in ("images", "annotations", "categories"):
        entries = content.get(key)
        if not isinstance(entries, list):
            raise InputError(f"annotation file '{path}' is not COCO panoptic: no list '{key}'")
        if not all(isinstance(entry, dict) for entry in entries):
            raise InputError(
                f"annotation file '{path}' is not COCO panoptic: '{key}' holds what is no object"
            )
    return content


def order_categories(categories: Sequence[dict], path: str) -> list[dict]:
    """Return `categories` things first, in the file's order within things and within stuff.

    Args:
        categories: COCO's list of dicts with `id`, `name` and `isthing`.
        path: the annotation file's name, for messages.

    Raises:
        InputError: there is none or too many, a key is missing, an id or name is there twice.
    """
    for category in categories:
        for key in ("id", "name", "isthing"):
            if key not in category:
                raise InputError(
                    f"annotation file '{path}': category {category.get('name', category)!r} "
                    f"has no '{key}', which COCO panoptic requires"
                )
    for key in ("id", "name"):
        counts = Counter(category[key] for category in categories)
        twice = [value for value, count in counts.items() if count > 1]
        if twice:
            raise InputError(f"annotation file '{path}': two categories have {key} {twice[0]!r}")
    if not 0 < len(categories) <= MAX_CLASSES:
        raise InputError(
            f"annotation file '{path}': {len(categories)} categories, expected 1 to {MAX_CLASSES}"
        )
    return sorted(categories, key=lambda category: not category["isthing"])


def class_metainfo(ordered: Sequence[dict]) -> dict:
    """Return mmdet's `classes`, `thing_classes`, `stuff_classes` and `palette`, indexed by label.

    `categories` stands beside them, so that a checkpoint knows the dataset's category ids.

    Args:
        ordered: categories in the order of their labels, things first.
    """
    names = [category["name"] for category in ordered]
    n_things = sum(bool(category["isthing"]) for category in ordered)
    return dict(
        classes=tuple(names),
        thing_classes=tuple(names[:n_things]),
        stuff_classes=tuple(names[n_things:]),
        palette=_palette([category.get("color") for category in ordered]),
        categories=[dict(id=c["id"], name=c["name"], isthing=int(c["isthing"])) for c in ordered],
    )


def _palette(colors: Sequence[Sequence[int] | None]) -> list[tuple[int, int, int]]:
    palette = [tuple(color) if color else None for color in colors]
    taken = set(palette)
    for label, color in enumerate(palette):
        attempt = label
        while color is None or (palette[label] is None and color in taken):
            color = _distinct_color(attempt)
            attempt += len(palette)
        taken.add(color)
        palette[label] = color
    return palette


def _distinct_color(index: int) -> tuple[int, int, int]:
    # Steps of the golden ratio keep hues apart however many there are.
    hue, value = index * 0.618034 % 1, (0.95, 0.75, 0.55)[index % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def check_given_classes(given: dict, found: dict, path: str) -> None:
    """Check the class names that a config states against those of the annotation file.

    Args:
        given: the config's metainfo; `classes`, `thing_classes` and `stuff_classes` are looked at.
        found: what `class_metainfo` derived from the file.
        path: the annotation file's name, for messages.

    Raises:
        InputError: the names differ as sets; the message has those that only one side knows.
    """
    for key in ("classes", "thing_classes", "stuff_classes"):
        if key not in given:
            continue
        stated = [given[key]] if isinstance(given[key], str) else given[key]
        extra = sorted(set(stated) - set(found[key]))
        lacking = sorted(set(found[key]) - set(stated))
        if extra or lacking:
            raise InputError(
                f"metainfo.{key} and '{path}' differ: only in the config {_some(extra)}, "
                f"only in the file {_some(lacking)}; leave metainfo out to take the file's"
            )


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit]) or "none"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def check_files_exist(folder: str, names: Iterable[str], what: str, named_in: str) -> None:
    """Check that every file is there, listing each directory once: names may have subfolders.

    Args:
        folder: a local directory.
        names: file names below it.
        what: what these files are, for the message ('image', 'panoptic PNG').
        named_in: the annotation file that names them.

    Raises:
        InputError: the folder or a file is missing; names the first and says how many are.
    """
    if not osp.isdir(folder):
        raise InputError(
            f"{what} folder '{folder}' does not exist: check data_root and data_prefix"
        )
    by_directory: dict[str, list[str]] = defaultdict(list)
    total = 0
    for name in names:
        directory, base = osp.split(name)
        by_directory[directory].append(base)
        total += 1
    missing = []
    for directory, bases in by_directory.items():
        path = osp.join(folder, directory)
        present = set(os.listdir(path)) if osp.isdir(path) else set()
        missing += [osp.join(path, base) for base in bases if base not in present]
    if missing:
        raise InputError(
            f"{what} '{missing[0]}', named in '{named_in}', does not exist "
            f"({len(missing)} of {total} missing)"
        )
