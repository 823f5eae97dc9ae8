"""Trials of hostile files, each in a process of its own, which may hang or die."""

import os
import select
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mmproscale.errors import InputError

SECONDS = 10


def outcome(use: Callable[[], object], path: Path, seconds: float = SECONDS) -> str:
    """Use a file in a child process; return 'refused', 'used', 'hang' or what went wrong."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _report(use, path, writing)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], seconds)
    text = os.read(reading, 2**16).decode() if ready else "hang"
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return text or f"died of signal {os.waitstatus_to_exitcode(status)}"


def _report(use: Callable[[], object], path: Path, writing: int) -> None:
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        use()
        text = "used"
    except InputError as error:
        one_line = str(path) in str(error) and "\n" not in str(error)
        text = "refused" if one_line else f"refused without its path: {error}"
    except BaseException:
        text = f"traceback: {traceback.format_exc()[-1500:]}"
    os.write(writing, text.encode()[: 2**15])
    os._exit(0)


@dataclass
class Tally:
    """Numbers of trials and of their outcomes."""

    tried: int = 0
    refused: int = 0
    hangs: int = 0
    tracebacks: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        self.tried += 1
        self.refused += text == "refused"
        self.hangs += text == "hang"
        self.tracebacks += text.startswith(("traceback", "died"))
        if text != "refused":
            self.wrong.append(f"{name}: {text}")


def tree_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
