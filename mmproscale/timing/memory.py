"""How much memory a candidate needs at its peak, beyond what it starts with.

On CUDA PyTorch counts what it has allocated. A CPU's memory is seen from outside alone, as the
pages that the process holds. What was freed before may or may not have gone back, so each candidate
gets a fresh process, where all that runs before the measured call is a tiny one: it loads libraries
and starts threads, and leaves hardly a free page that the measured one could take unseen. Those
that remain go back first, and the peak is counted anew from there. It is the kernel's VmHWM:
``ru_maxrss`` of a child begins at what its parent held.
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
    """MiB that PyTorch allocates at the peak of a call, less what it had before."""
    warm_up()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / MIB


def peak_on_cpu(run: Callable[[], object], warm_up: Callable[[], object]) -> float:
    """MiB of pages that this process holds at the peak of a call, less what it held before."""
    warm_up()
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    with suppress(OSError):  # where the kernel does not let us, the peak since the start counts
        Path("/proc/self/clear_refs").write_text("5")
    run()
    return max(0.0, _status("VmHWM") - before) / 1024


def peak_in_a_child(script: str, arguments: Sequence[str]) -> float:
    """MiB that ``script`` reports as the last line of its output.

    Raises:
        InputError: It fails; killed, perhaps, for want of memory.
    """
    done = subprocess.run([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise InputError(
            f"the process that measures memory ({' '.join(arguments[-3:])}) ended with status "
            f"{done.returncode}: give it more memory, or add --no-memory"
        )
    return float(json.loads(done.stdout.splitlines()[-1]))


def check_memory_can_be_read() -> None:
    """InputError where a process's memory can't be read."""
    if not Path("/proc/self/status").is_file():
        raise InputError("memory is read from /proc, which is not here: add --no-memory")


def _status(key: str) -> float:
    """A line of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1])
    raise KeyError(key)
