"""Commands of this package, spelled as the user has typed the one that runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mmproscale.utils.config import TOOLS


def command(name: str) -> str:
    """Return the beginning of a command line that the user can type here.

    Args:
        name: The command's words, such as ``train`` or ``datasets from-maps``.

    Returns:
        ``python tools/train.py`` where a file of ``tools/`` runs, with its folder as it was typed;
        else ``mmproscale train``.
    """
    script = Path(sys.argv[0])
    if not script.resolve().is_relative_to(TOOLS):
        started = sys.argv[0].rpartition("mmproscale ")[0]  # cli/console.py keeps `python -m`
        return f"{started if started == 'python -m ' else ''}mmproscale {name}"
    depth = len(script.resolve().relative_to(TOOLS).parts)
    first, *rest = name.replace("-", "_").split()
    file, more = f"{first}.py", name.split()[1:]
    if (TOOLS / first).is_dir():
        file, more = os.path.join(first, f"{rest[0]}.py"), more[1:]
    return " ".join(["python", str(script.parents[depth - 1] / file), *more])


def several_processes(count: int) -> str:
    """Return the beginning of a command line that trains in several processes on this machine."""
    train = command("train").removeprefix("python ")
    script = train if train.endswith(".py") else "-m mmproscale train"
    return f"{command('launch')} --nproc-per-node {count} {script}"
