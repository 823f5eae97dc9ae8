"""Child processes that only their parent ends."""

import ctypes
import os
import signal
from multiprocessing import forkserver, resource_tracker

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1  # from Linux' prctl.h


def stand_apart() -> None:
    """Let this child process end when its parent ends, and not by a signal to the parent's group.

    A terminal's Ctrl-C and launchers such as torchrun signal the whole group. The signal
    would kill children before the parent has finished its files, and they would print tracebacks.
    """
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # drops one that waits
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def start_fork_server() -> None:
    """Start multiprocessing's fork server such that no signal of the group ends it.

    Its processes, which call :func:`stand_apart`, end with it.
    """
    resource_tracker.ensure_running()  # unblocks both signals
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # the server inherits it
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
