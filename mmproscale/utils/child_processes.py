"""Child processes that their parent alone ends."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # from Linux' prctl.h


def stand_apart() -> None:
    """Let this child process end when its parent ends, and not by a signal to the parent's group.

    A terminal's Ctrl-C and launchers such as torchrun signal the whole group. Children would die of
    it before the parent has finished what it keeps, and print their tracebacks.
    """
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGINT):  # the parent's handlers are not the child's
        signal.signal(number, signal.SIG_DFL)
