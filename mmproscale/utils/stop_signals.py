"""SIGTERM and Ctrl-C: a command keeps its whole files, and ends with one line and no traceback.

The first signal raises :class:`Stopped` in the main thread. Inside :func:`stops_deferred` it is
only noted, for work that must reach a safe point first, e.g. the end of a training step. Ctrl-C
after the first signal ends the process at once, even while compiled code hangs: a thread waits for
it. A second SIGTERM does nothing, because launchers may send several.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from mmproscale.utils.child_processes import stand_apart

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
RETRY = 0.1  # seconds
SHOW_CURSOR = "\x1b[?25h"  # progress bars hide it


class Stopped(KeyboardInterrupt):
    """Stop of a command by a signal.

    Args:
        number: The signal.
        kept: Description of what was kept and how to continue; may be empty.
    """

    def __init__(self, number: int, kept: str = "") -> None:
        super().__init__(number, kept)
        self.number, self.kept = number, kept

    @property
    def status(self) -> int:
        """Return the exit status by which shells know the signal: 143 or 130."""
        return 128 + self.number

    def __str__(self) -> str:
        name = NAMES[signal.Signals(self.number)]
        return f"stopped by {name}: {self.kept}" if self.kept else f"stopped by {name}"


@dataclass
class _State:
    """State of the main thread: the first signal, how many blocks defer it, and its arrival."""

    handling: bool = False
    signal: int | None = None
    deferring: int = 0
    arrived: bool = False


_state = _State()


@contextmanager
def stoppable() -> Iterator[None]:
    """Handle both signals inside; an inner block of its own changes nothing.

    A signal that was already ignored stays ignored, e.g. Ctrl-C in background jobs. After a stop
    the signals are left at their defaults, since the process is about to end.
    """
    if _state.handling or not (handled := _handled()):
        yield
        return
    _state.__init__(handling=True)  # type: ignore[misc]
    signals = (*handled, signal.SIGALRM)
    previous = {number: signal.signal(number, _on_signal) for number in signals}
    try:
        with _second_ctrl_c_leaves():
            yield
    finally:
        _state.handling = False
        for number, handler in previous.items():
            ending = stop_requested() and number != signal.SIGALRM
            signal.signal(number, signal.SIG_DFL if ending else handler)


@contextmanager
def stops_deferred() -> Iterator[None]:
    """Only note a signal inside; it takes effect at the end.

    Raises:
        Stopped: A signal came.
    """
    _state.deferring += 1
    try:
        yield
    finally:
        _state.deferring -= 1
    if _state.signal is not None and not _state.deferring:
        raise Stopped(_state.signal)


@contextmanager
def keeping(kept: str) -> Iterator[None]:
    """Add what is kept, and how to continue, to a stop inside."""
    try:
        yield
    except Stopped as stop:
        stop.kept = kept
        raise


def stop_requested() -> int | None:
    """Return the signal that came first; None if none came."""
    return _state.signal


def arrived() -> None:
    """Raise no more for the signal that came: the command has caught Stopped, and is leaving."""
    _state.arrived = True
    signal.setitimer(signal.ITIMER_REAL, 0)


def leave_at_once() -> None:
    """Let a signal from now on end the process, e.g. while modules are imported."""
    for number in _handled():
        signal.signal(number, lambda number, frame: _leave(number))


def _handled() -> list[signal.Signals]:
    """Return the signals to handle; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in NAMES if signal.getsignal(number) is not signal.SIG_IGN]


def _on_signal(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGALRM:
        if _state.signal is not None and not _state.deferring and not _state.arrived:
            _raise(_state.signal, frame)
    elif _state.signal is None:
        _state.signal = number
        if not _state.deferring:
            # The interpreter drops some exceptions, so this one is raised until it arrives.
            signal.setitimer(signal.ITIMER_REAL, RETRY, RETRY)
            _raise(number, frame)


def _raise(number: int, frame: FrameType | None) -> None:
    """Raise Stopped, unless it is on its way or what is interrupted must end first."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, (Stopped, GeneratorExit)):
        error = error.__context__
    if error is None and not any(map(_must_end, _stack(frame))):
        raise Stopped(number)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _must_end(frame: FrameType) -> bool:
    """Tell whether an exception in a function is printed and dropped, or leaves an object broken.

    The interpreter drops exceptions of finalizers, callbacks of weak references, and functions that
    it calls after a fork. A loader whose workers are not all started can't be finalized.
    """
    name, module = frame.f_code.co_name, frame.f_globals.get("__name__")
    return (
        name in ("__del__", "_launch")
        or module in ("weakref", "_weakrefset", "multiprocessing.util")
        or (name == "cb" and frame.f_code.co_filename.startswith("<frozen importlib"))
        or (name == "__init__" and module == "torch.utils.data.dataloader")
    )


@contextmanager
def _second_ctrl_c_leaves() -> Iterator[None]:
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    threading.Thread(target=_wait_for_second, args=(reader,), daemon=True).start()
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        writer.close()  # ends the thread


def _wait_for_second(reader: socket.socket) -> None:
    came = False
    with reader:
        while received := reader.recv(1):  # gets each signal's number at once
            if came and received[0] == signal.SIGINT:
                _leave(signal.SIGINT)
            came = came or received[0] in NAMES


def _leave(number: int) -> None:
    line = f"{Stopped(number)}\n" if os.environ.get("RANK", "0") == "0" else ""
    os.write(2, (SHOW_CURSOR * os.isatty(2) + line).encode())
    os._exit(128 + number)


def _in_child() -> None:
    if _state.handling:
        _state.handling = False
        signal.set_wakeup_fd(-1)
        stand_apart()


os.register_at_fork(after_in_child=_in_child)
