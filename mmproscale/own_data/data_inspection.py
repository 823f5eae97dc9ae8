"""What a folder of data is: COCO panoptic, COCO instances or semantic maps, and its splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmproscale.errors import InputError
from mmproscale.own_data.coco_layout import (
    INSTANCE,
    PANOPTIC,
    SEMANTIC,
    SplitFiles,
    files_of,
    json_files,
    kind_of_json,
)
from mmproscale.own_data.semantic_layout import map_folders
from mmproscale.own_data.splits import one_of_split

KINDS = (PANOPTIC, INSTANCE, SEMANTIC)
EXPECTED = (
    "expected a COCO JSON with 'segments_info' and its PNGs (panoptic), one with 'segmentation' "
    "(instances), or images and label maps as img_dir/train and ann_dir/train, images/ and labels/"
)


@dataclass(frozen=True)
class Named:
    """What the command line names; the rest is found. Relative paths are from the folder of data.

    Args:
        kind: of :data:`KINDS`.
        train_ann: the JSON or, of semantic maps, their folder.
        val_ann: the same for validation.
        train_img: folder of the images.
        val_img: the same for validation.
        train_seg: folder of the panoptic PNGs.
        val_seg: the same for validation.
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
    """A dataset on disk: its kind, and where its splits lie; `val` is None where there is none."""

    kind: str
    root: Path
    train: SplitFiles
    val: SplitFiles | None


def find_data(root: Path, named: Named) -> FoundData:
    """Look into a folder.

    Raises:
        InputError: nothing that is known, or more than one thing; says which option decides.
    """
    if not root.is_dir():
        raise InputError(f"--data {root} is no folder: name the one that holds your data")
    kind, candidates = _kind_and_files(root, named)
    train, val = (_annotations(root, named, split, candidates) for split in ("train", "val"))
    if train is None:
        raise InputError(
            f"nothing {kind} in '{root}' says 'train' in its name: {_listed(candidates, root)}; "
            "name it with --train-ann"
        )
    return FoundData(
        kind,
        root,
        _files(train, "train", root, kind, named),
        None if val is None else _files(val, "val", root, kind, named),
    )


def _kind_and_files(root: Path, named: Named) -> tuple[str, list[Path]]:
    """The kind of data, and the annotation files or folders of maps that are of it."""
    found = {**json_files(root)}
    maps = list(map_folders(root))
    if maps:
        found[SEMANTIC] = maps
    kind = named.kind or _kind_of_named(root, named.train_ann)
    if kind is None and len(found) > 1:
        listed = "; ".join(f"{kind} ({_listed(paths, root)})" for kind, paths in found.items())
        raise InputError(f"'{root}' holds data of several kinds: {listed}; choose with --kind")
    if kind is None and not found:
        raise InputError(f"can't tell what '{root}' holds: {EXPECTED}; or name it: --train-ann")
    kind = kind or next(iter(found))
    if kind not in found and named.train_ann is None:
        raise InputError(f"'{root}' holds nothing {kind}: {EXPECTED}; or name it: --train-ann")
    return kind, found.get(kind, [])


def _kind_of_named(root: Path, ann: Path | None) -> str | None:
    if ann is None:
        return None
    path = _existing(root, ann, "--train-ann")
    kind = SEMANTIC if path.is_dir() else kind_of_json(path)
    if kind is None:
        raise InputError(f"--train-ann {ann} is neither panoptic nor instances: {EXPECTED}")
    return kind


def _annotations(root: Path, named: Named, split: str, candidates: list[Path]) -> Path | None:
    option = f"--{split}-ann"
    stated: Path | None = getattr(named, f"{split}_ann")
    if stated is not None:
        return _existing(root, stated, option)
    taken = {_existing(root, named.train_ann, "--train-ann")} if named.train_ann else set()
    return one_of_split([path for path in candidates if path not in taken], split, root, option)


def _files(ann: Path, split: str, root: Path, kind: str, named: Named) -> SplitFiles:
    img, seg = (
        path and _existing(root, path, f"--{split}-{key}")
        for key, path in (
            ("img", getattr(named, f"{split}_img")),
            ("seg", getattr(named, f"{split}_seg")),
        )
    )
    if kind != SEMANTIC:
        return files_of(ann, root, split, img, seg, kind == PANOPTIC)
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
