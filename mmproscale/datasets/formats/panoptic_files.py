"""A COCO panoptic dataset on disk: the JSON, the classes it defines, the files it names."""

import colorsys
import json
import os
import os.path as osp
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mmengine.fileio import get

from mmproscale.datasets.checks.annotation_faults import category_faults, list_faults
from mmproscale.datasets.checks.faults import Fault, refuse

CLASS_KEYS = ("classes", "thing_classes", "stuff_classes")
"""The names in a dataset's metainfo."""


def read_json(path: str | os.PathLike, mend: str, backend_args: dict | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: the file, local or on any of mmengine's file backends.
        mend: what to check where it is missing, for messages.
        backend_args: mmengine's choice of file backend.

    Raises:
        InputError: the file is missing, cannot be read or is not JSON.
    """
    content = parse_json(str(path), backend_args, mend)
    if isinstance(content, Fault):
        refuse([content])
    return content


def read_panoptic_json(
    path: str,
    need_annotations: bool = True,
    backend_args: dict | None = None,
    mend: str = "ann_file",
) -> dict:
    """Read a COCO panoptic annotation file, or another of COCO's with the same three lists.

    Args:
        path: the JSON file, local or on any of mmengine's file backends.
        need_annotations: False where images without ground truth will do (a test set).
        backend_args: mmengine's choice of file backend.
        mend: what to check where it is missing, for messages.

    Returns:
        The file's dict; `annotations` is an empty list where it is absent and not needed.

    Raises:
        InputError: the file is missing, is not JSON, or lacks one of the lists.
    """
    content = read_json(path, mend, backend_args)
    if isinstance(content, dict) and not need_annotations:
        content.setdefault("annotations", [])
    refuse(list_faults(content, path))
    return content


def parse_json(path: str, backend_args: dict | None = None, mend: str = "ann_file") -> Any | Fault:
    """Return what a JSON file holds, or the fault that it can't be read or parsed."""
    try:
        text = get(path, backend_args=backend_args)
    except FileNotFoundError:
        return Fault("json-missing", path, "", "does not exist", f"check {mend}")
    except OSError as error:
        return Fault("json-unreadable", path, "", f"cannot be read ({error.strerror})", "mend that")
    try:
        return json.loads(bytes(text).decode("utf-8"))
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 ({error.reason} at byte {error.start})"
        return Fault("json-encoding", path, "", problem, "save it as UTF-8")
    except (ValueError, RecursionError) as error:
        problem = f"is not valid JSON ({error})"
        return Fault("json-syntax", path, "", problem, "write or download it again")


def order_categories(categories: Sequence[dict], path: str) -> list[dict]:
    """Return `categories` things first, in the file's order within things and within stuff.

    Args:
        categories: COCO's list of dicts with `id`, `name` and `isthing`.
        path: the annotation file's name, for messages.

    Raises:
        InputError: there is none or too many, a key is missing, an id or name is there twice.
    """
    refuse(category_faults(categories, path))
    return sorted(categories, key=lambda category: not category["isthing"])


def png_name(image: dict, annotation: dict) -> str:
    """The name of an annotation's PNG: its `file_name`, or its image's with '.png'."""
    return annotation.get("file_name") or osp.splitext(image["file_name"])[0] + ".png"


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


def class_name_faults(given: dict, found: dict, path: str) -> Iterator[Fault]:
    """Faults of the class names that a config states: they differ, as sets, from the file's.

    Args:
        given: the config's metainfo; `classes`, `thing_classes` and `stuff_classes` are looked at.
        found: what `class_metainfo` derived from the file.
        path: the annotation file's name, for messages.
    """
    for key in CLASS_KEYS:
        if key not in given:
            continue
        stated = [given[key]] if isinstance(given[key], str) else given[key]
        extra = sorted(set(stated) - set(found[key]))
        lacking = sorted(set(found[key]) - set(stated))
        if extra or lacking:
            problem = (
                f"and metainfo.{key} differ: only in the config {_some(extra)}, "
                f"only in the file {_some(lacking)}"
            )
            action = "leave metainfo out to take the file's"
            yield Fault("classes-differ", path, "categories", problem, action)


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit]) or "none"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def missing_files(folder: str, names: Iterable[str], what: str, named_in: str) -> Iterator[Fault]:
    """Faults of files that are not there, listing each directory once: names may have subfolders.

    Args:
        folder: a local directory.
        names: file names below it.
        what: 'image' or 'png'; begins the name of the fault's kind.
        named_in: the annotation file that names them.
    """
    if not osp.isdir(folder):
        action = "check data_root and data_prefix"
        yield Fault(f"{what}-folder-missing", folder, "", f"({what} folder) does not exist", action)
        return
    by_directory: dict[str, list[str]] = defaultdict(list)
    for name in names:
        directory, base = osp.split(name)
        by_directory[directory].append(base)
    for directory, bases in by_directory.items():
        path = osp.join(folder, directory)
        present = set(os.listdir(path)) if osp.isdir(path) else set()
        spellings = {name.lower(): name for name in present}
        for base in bases:
            if base not in present:
                yield _missing(osp.join(path, base), spellings.get(base.lower()), what, named_in)


def _missing(path: str, similar: str | None, what: str, named_in: str) -> Fault:
    problem = f"({what}), named in '{named_in}', does not exist"
    if similar:
        problem += f", but '{similar}' does: names differ in case"
    return Fault(f"{what}-missing", path, "", problem, "add the file or correct its name")
