"""Which images a person means, and the names and ids that their results get."""

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmproscale.errors import InputError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def find_images(source: str) -> list[Path]:
    """List the images that ``source`` names, sorted.

    Args:
        source: A file, a folder (its images, not those of its subfolders) or a glob pattern, in
            which ``**`` goes through subfolders. Folders and patterns give files with the suffix
            of an image.

    Raises:
        InputError: Nothing of that name, or no image in it.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    names = ", ".join(sorted(SUFFIXES))
    if path.is_dir():
        found = _images(path.iterdir())
        if not found:
            raise InputError(f"no image ({names}) in {source}; for subfolders: '{source}/**/*.jpg'")
        return found
    if not glob.has_magic(source):
        raise InputError(f"{source} not found: name an image, a folder or a quoted glob pattern")
    found = _images(Path(match) for match in glob.glob(str(path), recursive=True))
    if not found:
        raise InputError(f"no image ({names}) matches '{source}'")
    return found


def _images(paths) -> list[Path]:
    return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file())


def result_names(paths: Sequence[Path]) -> list[str]:
    """Name each image's results: its stem, or what tells images of one stem apart.

    Images of one stem are named by folder and file, and by suffix where that is not enough:
    ``a/1.jpg``, ``b/1.jpg``, ``b/1.png`` become ``a-1``, ``b-1-jpg``, ``b-1-png``.

    Raises:
        InputError: Two names are still equal.
    """
    root = _common_folder(paths)
    in_folders = ["-".join(p.absolute().with_suffix("").relative_to(root).parts) for p in paths]
    with_suffix = [f"{name}-{p.suffix[1:]}" for name, p in zip(in_folders, paths, strict=True)]
    names = [p.stem for p in paths]
    for longer in (in_folders, with_suffix):
        counts = Counter(names)
        names = [
            other if counts[name] > 1 else name for name, other in zip(names, longer, strict=True)
        ]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} images would be written as '{name}': rename all but one")
    return names


def _common_folder(paths: Sequence[Path]) -> Path:
    folders = [path.absolute().parent for path in paths]
    shared = folders[0]
    while any(shared != folder and shared not in folder.parents for folder in folders):
        shared = shared.parent
    return shared


def image_ids(names: Sequence[str]) -> list[int]:
    """Ids of the images: their names where all are different numbers, as in COCO, else 1, 2, ..."""
    if all(name.isascii() and name.isdigit() for name in names):
        numbers = [int(name) for name in names]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(names) + 1))
