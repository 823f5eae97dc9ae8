"""Commands in processes of their own, which a test stops by SIGTERM or Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
NAME = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Command:
    """A process of its own session, whose output can be waited for."""

    def __init__(self, *words: str, **variables: str) -> None:
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, line: str) -> None:
        assert self.process.stdout is not None
        while line not in (said := self.process.stdout.readline()):
            assert said, self.process.communicate(timeout=60)[1]

    def stop(self, number: int, group: bool = True) -> None:
        """Signal the group, as a terminal does and torchrun."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self, timeout: float = 120) -> tuple[int, str]:
        """Return exit status and standard error."""
        error = self.process.communicate(timeout=timeout)[1]
        return self.process.returncode, error


def processes() -> dict[int, int]:
    """Return each process's parent; those that have ended and wait to be reaped are left out."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    return parents


def children_of(command: Command) -> set[int]:
    return {one for one, parent in processes().items() if parent == command.process.pid}


def left(children: set[int]) -> set[int]:
    """Return those of a dead parent's children that run on for more than a moment."""
    deadline = time.monotonic() + 5
    while children & processes().keys() and time.monotonic() < deadline:
        time.sleep(0.02)
    return children & processes().keys()
