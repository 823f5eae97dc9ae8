"""Search for the data in a folder: its kind, and the files of its splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmproscale.errors import InputError
from mmproscale.own_data.exports import find_export
from mmproscale.own_data.layouts import (
    BOXES,
    INSTANCE,
    PANOPTIC,
    SEMANTIC,
    SplitFiles,
    coco_files,
    json_files,
    kind_of_json,
    map_folders,
    one_of_split,
)

EXPECTED = (
    "expected a COCO JSON with 'segments_info' and its PNGs (panoptic), one with 'segmentation' "
    "(instances) or 'bbox' (boxes), or images and label maps as img_dir/train and ann_dir/train, "
    "images/ and labels/"
)


@dataclass(frozen=True)
class SearchOptions:
    """Options that narrow the search; relative paths start from the folder of data or from here.

    Args:
        kind: One of :data:`layouts.KINDS`.
        train_ann: JSON, or folder of semantic maps.
        val_ann: The same for validation.
        train_img: Folder of the images.
        val_img: The same for validation.
        train_seg: Folder of the panoptic PNGs.
        val_seg: The same for validation.
    """

    kind: str | None = None
    train_ann: Path | None = None
    val_ann: Path | None = None
    train_img: Path | None = None
    val_img: Path | None = None
    train_seg: Path | None = None
    val_seg: Path | None = None


@dataclass(frozen=True)
class FoundData:
    """Dataset on disk: its kind and its splits; ``val`` is None if there is no such split."""

    kind: str
    root: Path
    train: SplitFiles
    val: SplitFiles | None


def find_data(root: Path, options: SearchOptions) -> FoundData:
    """Find the one dataset in a folder.

    Raises:
        InputError: There is no known data, or several things fit; names the option that decides.
    """
    if not root.is_dir():
        raise InputError(f"--data {root} is not a folder: name the one that holds your data")
    kind, candidates = _kind_and_candidates(root, options)
    train, val = (_annotations(root, options, split, candidates) for split in ("train", "val"))
    if train is None:
        raise InputError(
            f"nothing {kind} in '{root}' says 'train' in its name: {_listed(candidates, root)}; "
            "name it with --train-ann"
        )
    return FoundData(
        kind,
        root,
        _files(train, "train", root, kind, options),
        None if val is None else _files(val, "val", root, kind, options),
    )


def _kind_and_candidates(root: Path, options: SearchOptions) -> tuple[str, list[Path]]:
    """Return the kind of data, and the annotation files or folders of maps of that kind."""
    found = json_files(root)
    if maps := list(map_folders(root)):
        found[SEMANTIC] = maps
    if not found and options.train_ann is None and (export := find_export(root)):
        raise InputError(export.how_to_convert())
    kind = options.kind or _kind_of_option(root, options.train_ann)
    if kind == BOXES and INSTANCE in found:  # objects with masks have boxes too
        found[BOXES] = [*found[INSTANCE], *found.get(BOXES, ())]
    if kind is None and len(found) > 1:
        listed = "; ".join(f"{kind} ({_listed(paths, root)})" for kind, paths in found.items())
        raise InputError(f"'{root}' holds data of several kinds: {listed}; choose with --kind")
    if kind is None and not found:
        raise InputError(f"'{root}' holds no known data: {EXPECTED}; or name it: --train-ann")
    kind = kind or next(iter(found))
    if kind not in found and options.train_ann is None:
        raise InputError(f"'{root}' holds nothing {kind}: {EXPECTED}; or name it: --train-ann")
    return kind, found.get(kind, [])


def _kind_of_option(root: Path, ann: Path | None) -> str | None:
    if ann is None:
        return None
    path = _existing(root, ann, "--train-ann")
    kind = SEMANTIC if path.is_dir() else kind_of_json(path)
    if kind is None:
        raise InputError(f"--train-ann {ann} has no panoptic data, instances or boxes: {EXPECTED}")
    return kind


def _annotations(
    root: Path, options: SearchOptions, split: str, candidates: list[Path]
) -> Path | None:
    option = f"--{split}-ann"
    stated: Path | None = getattr(options, f"{split}_ann")
    if stated is not None:
        return _existing(root, stated, option)
    taken = {_existing(root, options.train_ann, "--train-ann")} if options.train_ann else set()
    return one_of_split([path for path in candidates if path not in taken], split, root, option)


def _files(ann: Path, split: str, root: Path, kind: str, options: SearchOptions) -> SplitFiles:
    stated = {key: getattr(options, f"{split}_{key}") for key in ("img", "seg")}
    img, seg = (path and _existing(root, path, f"--{split}-{key}") for key, path in stated.items())
    if kind != SEMANTIC:
        return coco_files(ann, root, split, img, seg, kind == PANOPTIC)
    img = img or map_folders(root).get(ann)
    if img is None:
        raise InputError(
            f"no images found for the maps in '{ann}': name their folder, --{split}-img"
        )
    return SplitFiles(ann, img)


def _existing(root: Path, path: Path, option: str) -> Path:
    for candidate in (path, root / path):
        if candidate.exists():
            return candidate.absolute()
    raise InputError(f"{option} {path} does not exist, here or in '{root}'")


def _listed(paths: list[Path], root: Path) -> str:
    return ", ".join(str(path.relative_to(root)) for path in paths) or "none"
