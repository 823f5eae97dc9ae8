"""torchrun with one line for a failed process instead of its report."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterable
from typing import Any

from mmproscale.utils.processes import LAUNCHED, LOST

SECONDS_TO_SAVE = "120"
"""Time that the processes have after a signal before they are killed."""
TOLD = (2, 128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit statuses of processes that have printed a line of their own."""


def launch(arguments: list[str]) -> None:
    """Start processes as torchrun does, and exit with the status of the first one that failed.

    A signal to this process goes on to the others, which handle it; this one waits for them.

    Args:
        arguments: Those of torchrun.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError

    options = torchrun.parse_args(["--shutdown-timeout", SECONDS_TO_SAVE, *arguments])
    logging.disable(logging.ERROR)  # what torchrun logs of a failure is its report again
    os.environ[LAUNCHED] = "1"
    try:
        torchrun.run(options)
    except ChildFailedError as error:
        _exit_with(error.failures.items())
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    except RendezvousError as error:
        meeting = options.rdzv_endpoint or f"{options.master_addr}:{options.master_port}"
        reason = " ".join(str(error).split())
        print(
            f"error: the {options.nnodes} machines did not meet at {meeting} ({reason}): start the "
            "same command on each of them, with the address of one",
            file=sys.stderr,
        )
        sys.exit(2)


def _exit_with(failures: Iterable[tuple[int, Any]]) -> None:
    """Print a line about the process that failed first, and exit with its status.

    Args:
        failures: Rank and torch's ``ProcessFailure`` of each.
    """
    own = [(rank, failure) for rank, failure in failures if failure.exitcode != LOST]
    if not own:
        print("error: a process on another machine was lost, see there", file=sys.stderr)
        sys.exit(LOST)
    rank, failure = min(own, key=lambda entry: entry[1].timestamp)
    line = _describe(rank, failure.exitcode)
    if line is not None:
        print(f"error: {line}; the other processes were ended", file=sys.stderr)
    sys.exit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)


def _describe(rank: int, status: int) -> str | None:
    """Return what happened to a process; None where it has printed its own line."""
    if status in TOLD:
        return None
    if status > 0:
        return f"process {rank} failed with exit status {status}, for the reason above"
    name = signal.Signals(-status).name
    reason = ", often for lack of memory" if name == "SIGKILL" else ""
    return f"process {rank} was lost: killed by {name}{reason}"
