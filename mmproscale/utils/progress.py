"""Progress bars with the time that is left, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from mmproscale.datasets.shapes.shapes import ShapesSpec


def progress_bars() -> Progress:
    """Bars with a count, the time since the start and the time to the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
    return Progress(*columns, *times, console=Console(stderr=True))


@contextmanager
def bars_by_name() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (name, done, total), which shows a bar for each name from then on."""
    bars = progress_bars()
    tasks: dict[str, int] = {}

    def show(name: str, done: int, total: int) -> None:
        bars.start()
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=total)
        bars.update(tasks[name], completed=done)

    try:
        yield show
    finally:
        if tasks:  # stopping prints a line, even of nothing
            bars.stop()


def make_shapes_with_progress(folder: str | Path, spec: ShapesSpec, overwrite: bool) -> None:
    """Generate Shapes with a bar for each split, unless it is there; say which.

    Raises:
        InputError: As :func:`mmproscale.datasets.shapes.shapes.make_shapes`.
    """
    from mmproscale.datasets.shapes.shapes import make_shapes

    with bars_by_name() as show:
        made = make_shapes(folder, spec, overwrite, progress=show)
    print(f"{'made' if made else 'already there:'} {folder}: {spec.train} + {spec.val} images")
