"""Tables for a terminal: heading, alignment, long words."""

from io import StringIO

import pytest
from rich.console import Console

from mmproscale.utils.terminal_table import terminal_table

ROWS = [["part", "cost"], ["backbone", "7"], ["a-name-of-thirty-one-characters", "1,234"]]


def printed(rows, width: int = 80, **options) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(terminal_table("Model", rows, **options))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(("numbers", "cell"), [(True, "     7 "), (False, " 7     ")])
def test_numbers_are_aligned_to_the_right(numbers, cell):
    lines = printed(ROWS, numbers=numbers)
    assert lines[0] == "Model"
    row = next(line for line in lines if "backbone" in line)
    assert row.strip("│").split("│")[1] == cell


def test_long_words_are_folded_and_not_cut():
    text = "".join(printed(ROWS, width=30))
    assert "…" not in text and "1,234" in text
