"""Rows of YOLO's label files: a class and a box, or a class and a polygon.

Numbers are shares of the image's width and height. A box is its centre and its size.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mmproscale.datasets.conversion.output import each
from mmproscale.errors import InputError
from mmproscale.utils.faults import excerpt
from mmproscale.utils.text_files import read_text

TOLERANCE = 0.01  # of shares: tools round, and let outlines leave the image by a pixel


class Row(NamedTuple):
    """One object.

    Attributes:
        label: Place of its class in the list of names.
        numbers: x, y, width, height of a box; x, y, x, y, ... of a polygon.
        where: File and line, for messages.
    """

    label: int
    numbers: list[float]
    where: str

    @property
    def is_box(self) -> bool:
        """True for a box."""
        return len(self.numbers) == 4

    def corners(self, width: int, height: int) -> list[float]:
        """Return left, top, right and bottom of a box, in pixels of an image of this size."""
        x, y, w, h = self.numbers
        shares = x - w / 2, y - h / 2, x + w / 2, y + h / 2
        return [share * side for share, side in zip(shares, (width, height) * 2, strict=True)]

    def outline(self, width: int, height: int) -> list[float]:
        """Return x, y, x, y, ... of a polygon, in pixels of an image of this size and inside it."""
        sides = (width, height) * (len(self.numbers) // 2)
        shares = (min(max(share, 0.0), 1.0) for share in self.numbers)
        return [round(share * side, 2) for share, side in zip(shares, sides, strict=True)]


def read_rows(path: Path, classes: int) -> list[Row]:
    """Read a label file; empty lines do not count.

    Raises:
        SourcesError: Rows are malformed.
        InputError: The file can't be read.
    """
    lines = enumerate(read_text(path).splitlines(), start=1)
    rows = [(text.split(), f"'{path}', line {number}") for number, text in lines if text.strip()]
    return each(partial(_row, classes=classes), rows)


def _row(source: tuple[list[str], str], classes: int) -> Row:
    (label, *texts), where = source
    if not label.isdecimal() or int(label) >= classes:
        raise InputError(
            f"{where}: '{label}' is not a class from 0 to {classes - 1}, as the names are numbered"
        )
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        raise InputError(f"{where}: {excerpt(' '.join(texts))} are not numbers") from None
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        raise InputError(
            f"{where}: {len(numbers)} numbers after the class: a box has 4, a polygon 6, 8, 10, ..."
        )
    for number in numbers:
        if not (math.isfinite(number) and -TOLERANCE <= number <= 1 + TOLERANCE):
            raise InputError(
                f"{where}: {number:g} is not between 0 and 1: YOLO's numbers are shares of the "
                "image's width and height"
            )
    return Row(int(label), numbers, where)
