"""Find COCO annotation files in a folder, what kind they are of, and the files they name."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.panoptic_png import png_name
from mmproscale.errors import InputError
from mmproscale.own_data.splits import split_of

DEPTH = 4
PANOPTIC, INSTANCE, SEMANTIC = "panoptic", "instance", "semantic"
_COCO = (b'"images"', b'"annotations"', b'"categories"')


@dataclass(frozen=True)
class SplitFiles:
    """Where one split lies.

    Args:
        ann: the JSON or, of semantic maps, their folder.
        img: folder of the images.
        seg: folder of the panoptic PNGs.
        names: of semantic maps, a list of those that are of the split where not all are.
    """

    ann: Path
    img: Path
    seg: Path | None = None
    names: Path | None = None


def folders(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    """`root` and the folders below it, down to a depth; hidden ones are left out."""
    yield root
    if not depth:
        return
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith("."):
            yield from folders(Path(entry.path), depth - 1)


def json_files(root: Path) -> dict[str, list[Path]]:
    """The COCO annotation files below a folder by kind; a test set's are left out."""
    found: dict[str, list[Path]] = {}
    for folder in folders(root):
        for path in sorted(folder.glob("*.json")):
            kind = kind_of_json(path) if split_of(path.relative_to(root)) != "test" else None
            if kind:
                found.setdefault(kind, []).append(path)
    return found


def kind_of_json(path: Path) -> str | None:
    """'panoptic', 'instance' or None by the keys that occur in a file, without parsing it."""
    if not path.is_file() or not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if any(text.find(key) < 0 for key in _COCO):
            return None
        if text.find(b'"segments_info"') >= 0:
            return PANOPTIC
        # Files of keypoints have masks too, of people alone.
        is_instance = text.find(b'"segmentation"') >= 0 and text.find(b'"keypoints"') < 0
        return INSTANCE if is_instance else None


def files_of(
    ann: Path, root: Path, split: str, img: Path | None, seg: Path | None, panoptic: bool
) -> SplitFiles:
    """The folders of an annotation file's images and PNGs, found by the names in it.

    Args:
        ann: the JSON.
        root: the dataset's folder.
        split: 'train' or 'val', which decides between folders that have the same names.
        img: the images' folder where it was named.
        seg: the PNGs' folder where it was named.
        panoptic: whether there are PNGs.

    Raises:
        InputError: the file can't be read, or no folder, or more than one, has its files.
    """
    content = read_coco_json(str(ann))
    known = list(folders(root))
    if panoptic and seg is None:
        seg = _png_folder(content, ann, known, split, root)
    if img is None:
        names = [image.get("file_name") for image in content["images"]]
        option = f"--{split}-img"
        others = [folder for folder in known if folder != seg]
        img = _folder_with(names, others, ann, "images", option, split, root)
    return SplitFiles(ann, img, seg)


def _png_folder(content: dict, ann: Path, known: list[Path], split: str, root: Path) -> Path:
    """COCO's own place for them, a folder of the JSON's name, or another that has them."""
    images = {str(image.get("id")): image for image in content["images"]}
    names = []
    for annotation in content["annotations"]:
        image = images.get(str(annotation.get("image_id")), {})
        if annotation.get("file_name") or image.get("file_name"):
            names.append(png_name(image, annotation))
    beside = ann.with_suffix("")
    if beside.is_dir():
        return beside
    return _folder_with(names, known, ann, "panoptic PNGs", f"--{split}-seg", split, root)


def _folder_with(
    names: Sequence, known: list[Path], ann: Path, what: str, option: str, split: str, root: Path
) -> Path:
    sample = [name for name in (names[0], names[len(names) // 2], names[-1])] if names else []
    sample = [name for name in sample if isinstance(name, str)]
    if not sample:
        raise InputError(f"'{ann}' names no {what}: give a COCO annotation file with some")
    found = [folder for folder in known if all((folder / name).is_file() for name in sample)]
    if len(found) > 1:
        of_split = [folder for folder in found if split_of(folder.relative_to(root)) == split]
        found = of_split or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"no folder in '{root}' has '{sample[0]}' of '{ann}' ({what}): {option}")
    listed = ", ".join(str(folder.relative_to(root)) for folder in found)
    raise InputError(
        f"several folders in '{root}' have '{sample[0]}' of '{ann}' ({what}): {listed}; name one, "
        f"{option}"
    )
