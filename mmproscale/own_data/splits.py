"""Which split a file or folder is of, as its name says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mmproscale.errors import InputError

_NAMES = dict(
    train="train",
    training="train",
    val="val",
    valid="val",
    validation="val",
    test="test",
    testing="test",
)
# 'train2017' is one, 'latest' is none.
_TOKEN = re.compile(rf"(?<![a-z])({'|'.join(sorted(_NAMES, key=len, reverse=True))})(?![a-z])")


def split_of(path: Path) -> str | None:
    """'train', 'val', 'test' or None: by the file's own name, else by the nearest folder's.

    Args:
        path: relative to the dataset's folder, so that what lies above it does not count.
    """
    for part in (path.stem, *reversed(path.parent.parts)):
        tokens = _TOKEN.findall(part.lower())
        if tokens:
            return _NAMES[tokens[-1]]
    return None


def one_of_split(paths: Iterable[Path], split: str, root: Path, option: str) -> Path | None:
    """The one path of a split, if there is one; what names no split is of 'train' where alone.

    Args:
        paths: below ``root``, all of one kind.
        split: 'train' or 'val'.
        root: the dataset's folder.
        option: of the command line, which chooses where there are several.

    Raises:
        InputError: there are several.
    """
    paths = sorted(paths)
    found = [path for path in paths if split_of(path.relative_to(root)) == split]
    if not found and split == "train" and len(paths) == 1:
        found = [path for path in paths if split_of(path.relative_to(root)) is None]
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        raise InputError(f"several in '{root}' could be of '{split}': {names}; name one, {option}")
    return found[0] if found else None
