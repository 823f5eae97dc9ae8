"""Checkpoints in a run's folder that the run may remove: its own, beyond the number to keep.

A checkpoint states which files its run kept. A run that resumes from it in another folder, or from
a file of somebody else, must not remove those files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OUTDATED = "outdated_ckpts"
"""Key of the message hub: names of the files that are removed once a checkpoint is written."""

_LAST, _KEPT, _BEST = "last_ckpt", "keep_ckpt_ids", "best_ckpt"


def drop_foreign_files(info: dict[str, Any], folder: str | Path) -> list[str]:
    """Forget the files of other folders that a checkpoint's run kept.

    Args:
        info: The message hub's information as resumed; changed in place.
        folder: This run's folder of checkpoints.

    Returns:
        The forgotten paths.
    """
    paths = [key for key in info if key == _LAST or key.startswith(_BEST)]
    foreign = [key for key in paths if not _is_own(info[key], folder, key)]
    if _LAST in foreign or _LAST not in info:
        # These are of the folder in which the last checkpoint was written.
        for key in (_KEPT, OUTDATED):
            info.pop(key, None)
    return [str(info.pop(key)) for key in foreign]


def _is_own(path: Any, folder: str | Path, key: str) -> bool:
    if not isinstance(path, str):
        return path is None
    if "://" in str(folder):
        return path.rpartition("/")[0] == str(folder).rstrip("/")
    named = key == _LAST or Path(path).name.startswith("best_")
    # A removal follows links of folders, not of the file itself.
    return named and os.path.realpath(Path(path).parent) == os.path.realpath(folder)


def left_behind(
    folder: str | Path, template: str, info: Mapping[str, Any], resumed: str | Path
) -> list[Path]:
    """Return the checkpoints that a killed run had not yet removed, or not yet named as its last.

    Args:
        folder: The run's folder of checkpoints.
        template: Name of a checkpoint, with ``{}`` for its step.
        info: The message hub's information as resumed.
        resumed: The run's last checkpoint, from which it resumes.
    """
    pattern = "(\\d+)".join(map(re.escape, template.split("{}", 1)))
    kept = {Path(info[key]).name for key in info if key.startswith(_BEST) and info[key]}
    outdated = [
        Path(folder) / name
        for name in info.get(OUTDATED, ())
        if re.fullmatch(f"(best_.+_)?{pattern}", name) and name not in kept
    ]
    step, written = re.fullmatch(pattern, Path(resumed).name), Path(resumed).stat().st_mtime
    if step is None or "{}" not in template:
        return []
    later = [
        path
        for path in Path(folder).iterdir()
        if (named := re.fullmatch(pattern, path.name))
        and int(named[1]) > int(step[1])
        and path.stat().st_mtime >= written
    ]
    return [path for path in outdated + later if path.is_file() and path.name != step[0]]
