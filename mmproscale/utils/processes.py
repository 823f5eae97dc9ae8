"""Processes of one run: their cores, joining and leaving them, and the loss of one of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmproscale.errors import InputError

LAUNCHED = "MMPROSCALE_LAUNCHED"
"""Variable that tools/launch.py sets: it reports a lost process itself."""
LOST = 75
"""Exit status of a process that ends because another one was lost."""
PATIENCE = timedelta(days=7)
"""Longest wait for another process, which may finish hours later."""

# What each launcher calls torch's variables.
_VARIABLES = {
    "pytorch": dict(RANK="RANK", WORLD_SIZE="WORLD_SIZE", LOCAL_RANK="LOCAL_RANK"),
    "slurm": dict(RANK="SLURM_PROCID", WORLD_SIZE="SLURM_NTASKS", LOCAL_RANK="SLURM_LOCALID"),
    "mpi": dict(
        RANK="OMPI_COMM_WORLD_RANK",
        WORLD_SIZE="OMPI_COMM_WORLD_SIZE",
        LOCAL_RANK="OMPI_COMM_WORLD_LOCAL_RANK",
    ),
}
_STARTERS = {
    "pytorch": "tools/dist_train.sh, mmproscale launch or torchrun",
    "slurm": "tools/slurm_train.sh or srun",
    "mpi": "mpirun",
}
# Messages of gloo and NCCL about a connection that another process has closed or left unanswered.
_CLOSED = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|timed out|timeout|remote process exited",
    re.IGNORECASE,
)
_TRANSPORT = re.compile(r"gloo|nccl|recvValue|store|socket|peer", re.IGNORECASE)


def usable_cores() -> int:
    """Return the number of cores that this process may use, which the machine may exceed."""
    allowed = getattr(os, "sched_getaffinity", None)  # only Linux has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def cpu_has_bf16(file: str | Path = "/proc/cpuinfo") -> bool:
    """Tell a CPU with instructions for bf16; others compute it by conversions, which are slow."""
    text = Path(file).read_text(encoding="utf-8") if Path(file).is_file() else ""
    return (
        re.search(r"^(flags|Features)\b.*\b(avx512_bf16|amx_bf16|bf16)\b", text, re.M) is not None
    )


def launcher_of(given: str) -> str:
    """Return the launcher that started this process: torchrun needs no ``--launcher``."""
    if given == "none" and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return "pytorch"
    return given


def join_processes(launcher: str, backend: str, timeout: timedelta | None = None) -> None:
    """Join the processes of a run, if there is a launcher and they are not joined yet.

    Args:
        launcher: ``'none'``, ``'pytorch'`` (torchrun), ``'slurm'`` or ``'mpi'``.
        backend: ``'nccl'`` for GPUs, ``'gloo'`` for CPUs.
        timeout: Longest wait for another process; None for torch's default.

    Raises:
        InputError: The launcher did not start this process.
    """
    from torch import distributed  # takes seconds, and an error line needs no torch

    if launcher == "none" or distributed.is_initialized():
        return
    _name_as_torch(launcher)
    distributed.init_process_group(backend, timeout=timeout)


def take_gpu() -> None:
    """Have a process use the GPU of its local rank.

    Raises:
        InputError: There is no GPU for it.
    """
    import torch

    local_rank = int(os.environ["LOCAL_RANK"])
    if local_rank >= (found := torch.cuda.device_count()):
        raise InputError(
            f"process {local_rank} of this machine has no GPU: it has {found}, and each process "
            "takes one; start fewer processes"
        )
    torch.cuda.set_device(local_rank)


def leave_processes() -> None:
    """Leave the other processes, if this process has joined them."""
    if (distributed := _joined()) is not None:
        distributed.destroy_process_group()


def reports_first() -> bool:
    """Return True on one process: the first to ask, or, before they are joined, rank 0.

    A process that has failed must not wait for the others, so they take turns at torch's store.
    """
    if (distributed := _joined()) is None:
        return os.environ.get("RANK", "0") == "0"
    try:
        store = distributed.distributed_c10d._get_default_store()
        store.set_timeout(timedelta(seconds=5))
        return store.add("mmproscale/reports", 1) == 1
    except RuntimeError:  # the process that holds the store is lost
        return True


def lost_process(error: BaseException | None) -> str | None:
    """Return the message of a failed connection among an error and its causes, if there is one."""
    while error is not None:
        message = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and _joined() and _is_of_connection(error, message):
            return re.sub(r"^\[\S+\] ", "", message).partition(". ")[0]
        error = error.__cause__ or error.__context__
    return None


def _is_of_connection(error: RuntimeError, message: str) -> bool:
    from torch import distributed

    if isinstance(error, distributed.DistError):
        return True
    return bool(_CLOSED.search(message) and _TRANSPORT.search(message))


def _joined() -> Any:
    """Return torch.distributed where processes are joined, else None; torch is not imported."""
    distributed = sys.modules.get("torch.distributed")
    joined = distributed is not None and distributed.is_initialized()
    return distributed if joined else None


def _name_as_torch(launcher: str) -> None:
    """Set the variables that torch and mmengine read from those that a launcher has set."""
    for name, source in _VARIABLES[launcher].items():
        if source not in os.environ:
            raise InputError(
                f"--launcher {launcher}: {source} is not set: start the processes by "
                f"{_STARTERS[launcher]}"
            )
        os.environ[name] = os.environ[source]
    if launcher == "slurm" and "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_host(os.environ["SLURM_NODELIST"])
    os.environ.setdefault("MASTER_PORT", "29500")
    if "MASTER_ADDR" not in os.environ:
        raise InputError(
            f"--launcher {launcher}: MASTER_ADDR is not set: export the name of the first node"
        )


def _first_host(nodes: str) -> str:
    command = ["scontrol", "show", "hostnames", nodes]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
