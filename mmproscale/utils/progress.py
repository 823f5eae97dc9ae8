"""Progress bars with the remaining time, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


def progress_bars() -> Progress:
    """Return bars that show a count, the elapsed time and the remaining time."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
    return Progress(*columns, *times, console=Console(stderr=True))


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
