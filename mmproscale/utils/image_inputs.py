"""Images that a path, folder or pattern names, and the names and ids of their results."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmproscale.errors import InputError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def find_images(source: str) -> list[Path]:
    """List the images that ``source`` names, sorted.

    Args:
        source: A file, a folder (without its subfolders) or a glob pattern, where ``**`` stands for
            subfolders. In folders and patterns, files with the suffix of an image count.

    Raises:
        InputError: There is no such file, or no image in it.
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


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file())


def result_names(paths: Sequence[Path]) -> list[str]:
    """Name each image's results by its stem, or a longer name where stems are equal.

    Images with equal stems are named by folder and stem; if that is not enough, the suffix follows:
    ``a/1.jpg``, ``b/1.jpg``, ``b/1.png`` become ``a-1``, ``b-1-jpg``, ``b-1-png``.

    Raises:
        InputError: Two names are still equal.
    """
    root = os.path.commonpath([path.absolute().parent for path in paths])
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


def image_ids(names: Sequence[str]) -> list[int]:
    """Return ids: the names if they are different numbers, as in COCO, else 1, 2, 3 and so on."""
    if all(name.isascii() and name.isdigit() for name in names):
        numbers = [int(name) for name in names]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(names) + 1))
