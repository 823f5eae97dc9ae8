"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def terminal(title: str, table: Sequence[Sequence[str]]) -> Table:
    """The rows as a table for a terminal."""
    heading, *body = table
    shown = Table(title=title, title_justify="left")
    for index, name in enumerate(heading):
        shown.add_column(name, justify="right" if index else "left", overflow="fold")
    for line in body:
        shown.add_row(*line)
    return shown
