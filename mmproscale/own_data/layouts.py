"""Layouts of datasets: COCO annotation files, folders of semantic maps, and splits by name."""

from __future__ import annotations

import mmap
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from mmproscale.datasets.checks.annotation_faults import image_list_faults
from mmproscale.datasets.formats.coco_json import read_coco_json
from mmproscale.datasets.formats.panoptic_png import png_name
from mmproscale.errors import InputError
from mmproscale.utils.faults import refuse
from mmproscale.utils.image_inputs import SUFFIXES, visible

KINDS = PANOPTIC, INSTANCE, SEMANTIC, BOXES = "panoptic", "instance", "semantic", "boxes"
_SPLITS = dict(
    train="train",
    training="train",
    val="val",
    valid="val",
    validation="val",
    test="test",
    testing="test",
)
# 'train2017' names a split, 'latest' does not.
_SPLIT_NAME = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(_SPLITS, key=len, reverse=True))})(?![a-z])"
)
_COCO_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_MASK = re.compile(rb'"segmentation"\s*:\s*(\{|\[\s*\[?\s*[-\d])')  # RLE, or polygons
# mmsegmentation's own pair of names comes first.
_IMAGE_FOLDERS = ("img_dir", "images", "imgs", "image", "img")
_MAP_FOLDERS = ("ann_dir", "annotations", "labels", "label", "masks", "mask", "ann", "gt")
_MAP_ENDINGS = (".png", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class SplitFiles:
    """Places of one split's files.

    Args:
        ann: JSON, or the folder of semantic maps.
        img: Folder of the images.
        seg: Folder of the panoptic PNGs.
        names: File that lists the images of the split; None if the folder has no others.
    """

    ann: Path
    img: Path
    seg: Path | None = None
    names: Path | None = None


@dataclass(frozen=True)
class PairEndings:
    """Endings that turn an image's name into the name of its semantic map."""

    image: str
    map: str


def split_of(path: Path) -> str | None:
    """Return 'train', 'val', 'test' or None, by the name of the file or of its nearest folder.

    Args:
        path: Path relative to the dataset's folder, so that folders above it do not count.
    """
    for part in (path.stem, *reversed(path.parent.parts)):
        names = _SPLIT_NAME.findall(part.lower())
        if names:
            return _SPLITS[names[-1]]
    return None


def one_of_split(paths: Iterable[Path], split: str, root: Path, option: str) -> Path | None:
    """Return the one path of a split; a single path that names no split belongs to 'train'.

    Args:
        paths: Paths below ``root``, all of one kind.
        split: 'train' or 'val'.
        root: Folder of the dataset.
        option: Option of the command line that decides between several paths.

    Raises:
        InputError: There are several.
    """
    paths = sorted(paths)
    found = [path for path in paths if split_of(path.relative_to(root)) == split]
    if not found and split == "train" and len(paths) == 1:
        found = [path for path in paths if split_of(path.relative_to(root)) is None]
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        raise InputError(f"several in '{root}' could be of '{split}': {names}; name one, {option}")
    return found[0] if found else None


def folders_below(root: Path, depth: int = 4) -> Iterator[Path]:
    """Yield ``root`` and the folders below it down to a depth, except hidden ones."""
    yield root
    if not depth:
        return
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith("."):
            yield from folders_below(Path(entry.path), depth - 1)


def json_files(root: Path) -> dict[str, list[Path]]:
    """Find the COCO annotation files below a folder, by kind; those of a test set are left out."""
    found: dict[str, list[Path]] = {}
    for folder in folders_below(root):
        for path in sorted(visible(folder.glob("*.json"))):
            kind = kind_of_json(path) if split_of(path.relative_to(root)) != "test" else None
            if kind:
                found.setdefault(kind, []).append(path)
    # COCO's keypoints are the instances of people once more.
    names = [path.name for path in found.get(INSTANCE, ())]
    if any("keypoints" not in name for name in names):
        found[INSTANCE] = [path for path in found[INSTANCE] if "keypoints" not in path.name]
    return found


def kind_of_json(path: Path) -> str | None:
    """Return 'panoptic', 'instance', 'boxes' or None by the keys in a file, without parsing it."""
    if not path.is_file() or not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if any(text.find(key) < 0 for key in _COCO_KEYS):
            return None
        if text.find(b'"segments_info"') >= 0:
            return PANOPTIC
        if _MASK.search(text):
            return INSTANCE
        return BOXES if text.find(b'"bbox"') >= 0 else None


def coco_files(
    ann: Path, root: Path, split: str, img: Path | None, seg: Path | None, panoptic: bool
) -> SplitFiles:
    """Find the folders of an annotation file's images and PNGs by the names in it.

    Args:
        ann: The JSON.
        root: Folder of the dataset.
        split: 'train' or 'val'; it decides between folders that have the same files.
        img: Folder of the images, if it is known.
        seg: Folder of the PNGs, if it is known.
        panoptic: Look for PNGs.

    Raises:
        InputError: The file can't be read; no folder, or more than one, has its files.
    """
    content = read_coco_json(str(ann))
    refuse(image_list_faults(content["images"], str(ann)))
    folders = list(folders_below(root))
    if panoptic and seg is None:
        seg = ann.with_suffix("")  # COCO's own place
        if not seg.is_dir():
            seg = _folder_with(_png_names(content), folders, ann, root, split, "seg")
    if img is None:
        names = [image.get("file_name") for image in content["images"]]
        others = [folder for folder in folders if folder != seg]
        img = _folder_with(names, others, ann, root, split, "img")
    return SplitFiles(ann, img, seg)


def _png_names(content: dict) -> list[str]:
    images = {str(image.get("id")): image for image in content["images"]}
    pairs = ((images.get(str(a.get("image_id")), {}), a) for a in content["annotations"])
    return [png_name(i, a) for i, a in pairs if a.get("file_name") or i.get("file_name")]


def _folder_with(
    names: Sequence, folders: list[Path], ann: Path, root: Path, split: str, key: str
) -> Path:
    """Return the folder that has the first, middle and last of the named files."""
    what, option = dict(img="images", seg="panoptic PNGs")[key], f"--{split}-{key}"
    sample = [names[0], names[len(names) // 2], names[-1]] if names else []
    sample = [name for name in sample if isinstance(name, str)]
    if not sample:
        raise InputError(f"'{ann}' names no {what}: give a COCO annotation file with some")
    found = [folder for folder in folders if all((folder / name).is_file() for name in sample)]
    if len(found) > 1:
        found = [f for f in found if split_of(f.relative_to(root)) == split] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"no folder in '{root}' has '{sample[0]}' of '{ann}' ({what}): name it, {option}, or "
            "correct the names in the file"
        )
    listed = ", ".join(str(folder.relative_to(root)) for folder in found)
    raise InputError(
        f"several folders in '{root}' have '{sample[0]}' of '{ann}' ({what}): {listed}; name one, "
        f"{option}"
    )


def map_folders(root: Path) -> dict[Path, Path]:
    """Find folders of semantic maps, each with its images' folder.

    Both ``ann_dir/train`` with ``img_dir/train`` and ``train/labels`` with ``train/images`` are
    found; those of a test set are left out.
    """
    found = {}
    for images in folders_below(root, depth=2):
        if images.name not in _IMAGE_FOLDERS:
            continue
        for maps in filter(Path.is_dir, (images.parent / name for name in _MAP_FOLDERS)):
            for subfolder in _split_folders(images, maps):
                img, ann = images / subfolder, maps / subfolder
                if split_of(ann.relative_to(root)) != "test" and _has_pair(img, ann):
                    found[ann] = img
    return found


def _split_folders(images: Path, maps: Path) -> list[str]:
    """Return the subfolders named after splits that both folders have; [''] without any."""
    names = sorted(f.name for f in images.iterdir() if f.is_dir() and split_of(Path(f.name)))
    return [name for name in names if (maps / name).is_dir()] or [""]


def _has_pair(img: Path, ann: Path) -> bool:
    first = next(iter(image_files(img)), None)
    return first is not None and any(_maps_of(first, img, ann))


def image_files(folder: Path) -> list[Path]:
    """List the images of a folder and of those below it, sorted."""
    paths = visible(folder.rglob("*"), folder)
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES)


def _maps_of(image: Path, img: Path, ann: Path) -> list[Path]:
    folder = ann / image.parent.relative_to(img)
    found = folder.glob(f"{escape(image.stem)}*") if folder.is_dir() else ()
    return sorted(path for path in visible(found) if path.suffix.lower() in _MAP_ENDINGS)


def pair_endings(files: SplitFiles) -> PairEndings:
    """Derive the endings of images and maps: one end turns each image's name into its map's.

    Raises:
        InputError: There is no image; the images have several endings; maps are missing, or each
            image has several.
    """
    images = image_files(files.img)
    if not images:
        raise InputError(f"no image in '{files.img}': name the folder of the images")
    endings = sorted({path.suffix for path in images})
    if len(endings) > 1:
        raise InputError(
            f"images in '{files.img}' end in {', '.join(endings)}: mmsegmentation reads one "
            "ending; convert or move the others"
        )
    some = images[:: max(1, len(images) // 8)]  # each of these lists a folder
    ends = {
        path.name[len(image.stem) :]
        for image in some
        for path in _maps_of(image, files.img, files.ann)
    }
    stems = [image.relative_to(files.img).with_suffix("").as_posix() for image in images]
    present = {path.relative_to(files.ann).as_posix() for path in files.ann.rglob("*")}
    counts = Counter(end for end in ends for stem in stems if stem + end in present)
    common = sorted(end for end, count in counts.items() if count == len(images))
    common = [end for end in common if end == ".png"] or common
    if len(common) == 1:
        return PairEndings(endings[0], common[0])
    if common:
        listed = ", ".join(common)
        raise InputError(
            f"'{files.ann}' has several maps of each image, which end in {listed}; keep one of each"
        )
    raise InputError(_missing_maps(images, files, counts))


def _missing_maps(images: list[Path], files: SplitFiles, counts: Counter[str]) -> str:
    """Return the message for images without a map of the most frequent ending."""
    if not counts:
        return f"'{files.ann}' has no map of '{images[0]}' or of another image: name its folder"
    end, count = counts.most_common(1)[0]
    names = [image.relative_to(files.img).with_suffix("").as_posix() + end for image in images]
    absent = [name for name in names if not (files.ann / name).is_file()]
    other = next((o for o in counts if o != end and o.lower() == end.lower()), None)
    mixed = f"; others end in '{other}', so rename them" if other else ""
    return (
        f"'{files.ann}' has a map NAME{end} of {count} of {len(images)} images, but not "
        f"'{absent[0]}'{mixed or ': add the map or remove the image'}"
    )
