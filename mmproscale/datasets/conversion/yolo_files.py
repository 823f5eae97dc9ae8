"""Descriptions of YOLO's datasets: the classes, and the images of each split.

They are Ultralytics' YAML (also Roboflow's and CVAT's), Darknet's ``obj.data`` (CVAT's YOLO 1.1),
and ``classes.txt`` next to ``images/`` and ``labels/`` (Label Studio's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmproscale.errors import InputError
from mmproscale.utils.image_inputs import SUFFIXES, visible
from mmproscale.utils.text_files import read_text

Places = dict[str, list[Path]]
"""Split -> folders of images, and text files that name images."""


@dataclass(frozen=True)
class YoloFile:
    """Description of a dataset.

    Args:
        path: The file that describes it.
        names: Names of the classes.
        images: Split -> its images, sorted.
    """

    path: Path
    names: tuple[str, ...]
    images: dict[str, list[Path]]


def describing_file(folder: Path) -> Path | None:
    """Find the file that describes a dataset of YOLO in its folder.

    Raises:
        InputError: There are several.
    """
    texts = sorted(visible([*folder.glob("*.yaml"), *folder.glob("*.yml")]))
    found = [path for path in texts if _describes(path)]
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise InputError(f"several files in '{folder}' describe a YOLO dataset: {listed}: name one")
    if (folder / "obj.data").is_file():
        found.append(folder / "obj.data")
    if (folder / "classes.txt").is_file() and any((folder / "labels").rglob("*.txt")):
        found.append(folder / "classes.txt")
    return next(iter(found), None)


def _describes(path: Path) -> bool:
    try:
        content = _read_yaml(path)
    except InputError:
        return path.stem == "data"  # reading it again says why
    return isinstance(content, dict) and {"names", "train"} <= content.keys()


def read_yolo(path: Path, splits: Sequence[str] = ("train", "val")) -> YoloFile:
    """Read the description of a dataset and list its images.

    Args:
        path: The file, or the folder that :func:`describing_file` looks into.
        splits: Splits to list, where the file names them.

    Raises:
        InputError: There is no such file, or it lacks a key; an image or a folder is missing.
    """
    file = describing_file(path) if path.is_dir() else path
    if file is None:
        raise InputError(
            f"'{path}' has no YAML with 'names' and 'train', no obj.data, and no classes.txt next "
            "to labels/: name the file that describes the dataset"
        )
    if file.name == "classes.txt":
        names, places = _lines(file), {"train": [file.parent / "images"]}
    else:
        names, places = (_darknet if file.suffix == ".data" else _ultralytics)(file, splits)
    images = {split: _images(found) for split, found in places.items()}
    return YoloFile(file, tuple(names), images)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from None


def _ultralytics(file: Path, splits: Sequence[str]) -> tuple[list[str], Places]:
    content = _read_yaml(file)
    if not isinstance(content, dict) or not {"names", "train"} <= content.keys():
        raise InputError(f"'{file}' lacks 'names' or 'train': give the YAML of a YOLO dataset")
    if "kpt_shape" in content:
        raise InputError(f"'{file}' describes keypoints: give a dataset of boxes or polygons")
    names = content["names"]
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"'{file}': 'names' is not a list of names, or of 0: NAME, 1: NAME, ...")
    if (count := content.get("nc", len(names))) != len(names):
        raise InputError(f"'{file}': nc is {count}, but 'names' has {len(names)}: correct one")
    roots = [file.parent / str(content.get("path") or ""), file.parent]
    places: Places = {}
    for split in (split for split in splits if content.get(split)):
        value = content[split]
        texts = value if isinstance(value, list) else [value]
        places[split] = [_place(str(text), roots, f"'{file}', {split}") for text in texts]
    return names, places


def _place(text: str, roots: Sequence[Path], where: str) -> Path:
    """Return the existing place of a path; Roboflow writes ``../train`` for ``train``."""
    inside = Path(*(part for part in Path(text).parts if part != ".."))
    for place in (root / path for path in (Path(text), inside) for root in roots):
        if place.exists():
            return place
    raise InputError(f"{where}: '{text}' does not exist, also not in '{roots[-1]}': correct it")


def _darknet(file: Path, splits: Sequence[str]) -> tuple[list[str], Places]:
    pairs = (line.partition("=") for line in _lines(file))
    content = {key.strip(): value.strip() for key, _, value in pairs}
    if not {"names", "train"} <= content.keys():
        raise InputError(f"'{file}' lacks 'names' or 'train': give Darknet's obj.data")

    def place(key: str) -> Path:  # CVAT's paths begin with data/, which its archive lacks
        return _place(content[key].removeprefix("data/"), [file.parent], f"'{file}', {key}")

    keys = {split: "valid" if split == "val" else split for split in splits}
    found = {split: [place(key)] for split, key in keys.items() if key in content}
    return _lines(place("names")), found


def _images(places: list[Path]) -> list[Path]:
    """List the images of folders, and those that text files name, one a line."""
    found: list[Path] = []
    for place in places:
        if place.is_file():
            names = (text.removeprefix("data/") for text in _lines(place))
            found += [_place(name, [place.parent], f"'{place}'") for name in names]
        else:
            inside = visible(place.rglob("*"), place)
            found += [path for path in inside if path.suffix.lower() in SUFFIXES]
    if not found:
        raise InputError(f"no image in '{', '.join(map(str, places))}'")
    return sorted(set(found))
