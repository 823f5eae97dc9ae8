"""Missing files of a dataset on a local disk."""

from __future__ import annotations

import os
import os.path as osp
from collections import defaultdict
from collections.abc import Iterable, Iterator

from mmproscale.utils.faults import Fault


def is_local(path: str, backend_args: dict | None) -> bool:
    """Tell whether mmengine reads a path from a local disk.

    Args:
        path: a file or folder.
        backend_args: mmengine's choice of file backend.
    """
    backend = (backend_args or {}).get("backend", "local")
    return backend in ("local", "disk") and "://" not in path


def missing_files(folder: str, names: Iterable[str], what: str, named_in: str) -> Iterator[Fault]:
    """Yield faults of files that are missing; list each directory once.

    Args:
        folder: a local directory.
        names: file names below it, which may have subfolders.
        what: 'image', 'png' or 'map'; begins the name of the fault's kind.
        named_in: the annotation file that names them.
    """
    if not osp.isdir(folder):
        action = "check data_root and data_prefix"
        yield Fault(f"{what}-folder-missing", folder, "", f"({what} folder) does not exist", action)
        return
    by_directory: dict[str, list[str]] = defaultdict(list)
    for name in names:
        directory, base = osp.split(name)
        by_directory[directory].append(base)
    for directory, bases in by_directory.items():
        path = osp.join(folder, directory)
        present = set(os.listdir(path)) if osp.isdir(path) else set()
        spellings = {name.lower(): name for name in present}
        for base in bases:
            if base in present:
                continue
            problem, similar = f"({what}), named in '{named_in}', does not exist", base.lower()
            if similar in spellings:
                problem += f", but '{spellings[similar]}' does: names differ in case"
            action = "add the file or correct its name"
            yield Fault(f"{what}-missing", osp.join(path, base), "", problem, action)
