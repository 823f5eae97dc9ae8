"""Images that a path, folder or pattern names, and the names and ids of their results."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmproscale.errors import InputError
from mmproscale.utils.text_files import read_text
from mmproscale.utils.words import plural

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})


def is_video(source: str | Path) -> bool:
    """Return True for the name of a video file."""
    return Path(source).suffix.lower() in VIDEO_SUFFIXES


def expand_inputs(sources: Sequence[str]) -> tuple[list[Path], list[str | int]]:
    """List the images, and the videos and webcams, that a command line names.

    Args:
        sources: What :func:`find_images` takes; ``@FILE``, a text file with one source on each
            line; a video; the index of a webcam.

    Raises:
        InputError: A source does not exist, or there is no image in it.
    """
    images: dict[Path, None] = {}  # each once, in order
    videos: list[str | int] = []
    for source in sources:
        if source.startswith("@"):
            more_images, more_videos = expand_inputs(_lines(source[1:]))
            images |= dict.fromkeys(more_images)
            videos += more_videos
        elif source.isdecimal() and not Path(source).exists():
            videos.append(int(source))
        elif is_video(source):
            if not Path(source).is_file():
                raise InputError(f"{source} not found: name a video")
            videos.append(source)
        else:
            images |= dict.fromkeys(find_images(source))
    return list(images), videos


def _lines(path: str) -> list[str]:
    lines = read_text(path).splitlines()
    named = [line.strip() for line in lines if line.strip()]
    if not named:
        raise InputError(f"list {path} names no image")
    return named


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
        raise InputError(f"no image ({names}) matches '{source}'{_bracket_hint(str(path))}")
    return found


def _bracket_hint(pattern: str) -> str:
    """Return the pattern to use where brackets belong to names, and its number of images."""
    literal = pattern.replace("[", "[[]")
    count = len(_images(Path(match) for match in glob.glob(literal, recursive=True)))
    hint = "; [ ] in a pattern stand for one of several letters, and [[] for a bracket"
    matches = f": '{literal}' matches {plural(count, 'image')}" if count else ""
    return hint + matches if matches or "[" in pattern else ""


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in visible(paths) if p.suffix.lower() in SUFFIXES and p.is_file())


def visible(paths: Iterable[Path], root: Path | None = None) -> Iterator[Path]:
    """Leave out hidden files, and with a root also those in hidden folders below it.

    Systems and tools write such files next to data: ``._1.jpg``, ``.ipynb_checkpoints/1.png``.
    """
    for path in paths:
        parts = path.parts[-1:] if root is None else path.relative_to(root).parts
        if not any(part.startswith(".") for part in parts):
            yield path


def result_names(paths: Sequence[Path]) -> list[str]:
    """Name each image's results by its stem, or a longer name where stems are equal.

    Images with equal stems are named by folder and stem; if that is not enough, the suffix follows:
    ``a/1.jpg``, ``b/1.jpg``, ``b/1.png`` become ``a-1``, ``b-1-jpg``, ``b-1-png``.

    Raises:
        InputError: Two names are still equal.
    """
    if not paths:
        return []
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
