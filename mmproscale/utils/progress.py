"""Progress bars with the remaining time, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LOG_SECONDS = 60.0


class LoggedProgress(Progress):
    """Bars that are also printed once a minute where there is no terminal to move them in."""

    _printed = 0.0

    def start(self) -> None:
        """Start the bars, and the first minute."""
        self._printed = monotonic()
        super().start()

    def update(self, *args: Any, **fields: Any) -> None:
        """Update a bar as rich does, and print all bars if a minute has passed."""
        super().update(*args, **fields)
        self._print()

    def advance(self, *args: Any, **fields: Any) -> None:
        """Advance a bar as rich does, and print all bars if a minute has passed."""
        super().advance(*args, **fields)
        self._print()

    def _print(self) -> None:
        if not self.console.is_terminal and monotonic() - self._printed >= LOG_SECONDS:
            self._printed = monotonic()
            self.console.print(self.make_tasks_table(self.tasks))


def progress_bars() -> Progress:
    """Return bars that show a count, the elapsed time and the remaining time."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
    return LoggedProgress(*columns, *times, console=Console(stderr=True))


@contextmanager
def bars_by_name() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (name, done, total) that shows a bar for each name."""
    bars = progress_bars()
    tasks: dict[str, TaskID] = {}

    def show(name: str, done: int, total: int) -> None:
        bars.start()
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=total)
        bars.update(tasks[name], completed=done)

    try:
        yield show
    finally:
        if tasks:  # stopping prints a line even if no bar was shown
            bars.stop()
