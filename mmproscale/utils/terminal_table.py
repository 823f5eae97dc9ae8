"""Table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def terminal_table(title: str, rows: Sequence[Sequence[str]], numbers: bool = True) -> Table:
    """Make a table that rich prints.

    Args:
        title: Line above the table.
        rows: Cells of each row; the first row is the heading.
        numbers: Align every column but the first to the right, as suits numbers.
    """
    heading, *body = rows
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(heading):
        table.add_column(name, justify="right" if numbers and index else "left", overflow="fold")
    for row in body:
        table.add_row(*row)
    return table
