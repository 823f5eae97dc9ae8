"""Measured peak memory of a candidate, beyond the memory that it starts with.

On CUDA, PyTorch counts what it allocates. On a CPU, the pages that the process holds are counted.
Memory that was freed before may still belong to the process, so each candidate gets a fresh
process. Before the measured call only a tiny one runs, which loads libraries and starts threads.
Then free pages are returned and the kernel's peak, VmHWM, is reset. (``ru_maxrss`` is not
used, because in a child it begins at its parent's memory.)
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from mmproscale.errors import InputError

MIB = 2**20


def peak_on_cuda(run: Callable[[], object], warm_up: Callable[[], object]) -> float:
    """Return the MiB that PyTorch allocates at the peak of a call, beyond what it had before."""
    warm_up()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MIB


def peak_on_cpu(run: Callable[[], object], warm_up: Callable[[], object]) -> float:
    """Return the MiB that this process holds at the peak of a call, beyond what it held before."""
    warm_up()
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    with suppress(OSError):  # where the kernel forbids the reset, the peak since the start counts
        Path("/proc/self/clear_refs").write_text("5")
    run()
    return max(0.0, _status("VmHWM") - before) / 1024


def peak_in_a_child(script: str, arguments: Sequence[str]) -> float:
    """Return the MiB that ``script`` prints as its last line.

    Raises:
        InputError: The script fails, perhaps killed for lack of memory.
    """
    command = [sys.executable, script, *arguments]
    # In a session of its own, Ctrl-C does not reach it; this process ends it.
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    if done.returncode:
        raise InputError(
            f"the process that measures memory ({' '.join(arguments[-3:])}) ended with status "
            f"{done.returncode}: give it more memory, or add --no-memory"
        )
    return float(json.loads(done.stdout.splitlines()[-1]))


def check_memory_can_be_read() -> None:
    """Raise InputError where a process's memory can't be read."""
    if not Path("/proc/self/status").is_file():
        raise InputError("memory is read from /proc, which is not here: add --no-memory")


def _status(key: str) -> float:
    """Return a value of /proc/self/status in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1])
    raise KeyError(key)
