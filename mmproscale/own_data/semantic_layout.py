"""Find semantic maps in a folder: images and, in a folder beside theirs, a map for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmproscale.errors import InputError
from mmproscale.own_data.coco_layout import SplitFiles, folders
from mmproscale.own_data.splits import split_of
from mmproscale.utils.image_inputs import SUFFIXES

# mmsegmentation's own pair of names first.
IMAGE_FOLDERS = ("img_dir", "images", "imgs", "image", "img")
MAP_FOLDERS = ("ann_dir", "annotations", "labels", "label", "masks", "mask", "ann", "gt")
_MAP_ENDINGS = (".png", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class PairNames:
    """How a map's name follows from its image's: one ending in place of the other."""

    image_ending: str
    map_ending: str


def map_folders(root: Path) -> dict[Path, Path]:
    """Folders of maps, each with its images' folder: ``ann_dir/train`` to ``img_dir/train``.

    ``train/images`` and ``train/labels`` are found too; a test set's are left out.
    """
    found = {}
    for images in folders(root, depth=2):
        for maps in _beside(images):
            for below in _splits_below(images, maps):
                img, ann = images / below, maps / below
                if split_of(ann.relative_to(root)) != "test" and _has_pair(img, ann):
                    found[ann] = img
    return found


def _beside(images: Path) -> Iterator[Path]:
    if images.name in IMAGE_FOLDERS:
        candidates = (images.parent / name for name in MAP_FOLDERS)
        yield from (folder for folder in candidates if folder.is_dir())


def _splits_below(images: Path, maps: Path) -> list[str]:
    """The subfolders that are splits and that both have, or '' for the folders themselves."""
    names = sorted(f.name for f in images.iterdir() if f.is_dir() and split_of(Path(f.name)))
    return [name for name in names if (maps / name).is_dir()] or [""]


def _has_pair(img: Path, ann: Path) -> bool:
    first = next(iter(image_files(img)), None)
    return first is not None and any(_maps_of(first, img, ann))


def image_files(folder: Path) -> list[Path]:
    """The images of a folder and of those below it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _maps_of(image: Path, img: Path, ann: Path) -> list[Path]:
    folder = ann / image.parent.relative_to(img)
    found = folder.glob(f"{_escaped(image.stem)}*") if folder.is_dir() else ()
    return sorted(path for path in found if path.suffix.lower() in _MAP_ENDINGS)


def _escaped(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


def pair_names(files: SplitFiles) -> PairNames:
    """How maps are named, by the first image's; each image's map is then checked elsewhere.

    Raises:
        InputError: no image; images of several endings; no map of the first one, or several.
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
    first = images[0]
    maps = _maps_of(first, files.img, files.ann)
    rests = [path.name[len(first.stem) :] for path in maps]
    rests = [rest for rest in rests if rest == ".png"] or rests
    if len(rests) != 1:
        names = ", ".join(path.name for path in maps) or "none"
        raise InputError(f"the map of '{first}' is not clear in '{files.ann}': {names}; keep one")
    return PairNames(endings[0], rests[0])
