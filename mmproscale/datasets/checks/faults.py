"""What is wrong with a dataset: one fault, its line of text, and how a reader refuses it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mmproscale.errors import InputError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, or with `note` only worth knowing.

    Args:
        kind: its name, the same wherever it is found, e.g. 'segment-not-in-png'.
        file: the annotation file, image or PNG that has it.
        field: where in it, e.g. 'annotations[3].segments_info[0].bbox'; may be empty.
        problem: what is wrong there, with the value.
        action: what to do.
        note: whether training goes on all the same, and learns nothing wrong.
    """

    kind: str
    file: str
    field: str
    problem: str
    action: str
    note: bool = False

    def __str__(self) -> str:
        where = f"'{self.file}': {self.field}" if self.field else f"'{self.file}'"
        return " ".join(f"{where} {self.problem}: {self.action}".split())

    @property
    def record(self) -> str:
        """The entry of the JSON that the field belongs to: 'annotations[3].segments_info[0]'."""
        return self.field.rpartition(".")[0]


def refuse(faults: Iterable[Fault]) -> None:
    """Raise for the first fault, telling how many there are of its kind and of others.

    Raises:
        InputError: there is a fault; notes don't count.
    """
    found = (fault for fault in faults if not fault.note)
    first = next(found, None)
    if first is None:
        return
    alike = others = 0
    for fault in found:
        alike += fault.kind == first.kind
        others += fault.kind != first.kind
    more = f"; {alike} more of this kind" if alike else ""
    more += f"; {others} other fault{'s' * (others > 1)}" if others else ""
    listing = ", see tools/check_dataset.py" if more else ""
    raise InputError(f"[{first.kind}] {first}{more}{listing}")


def shown(value: Any, limit: int = 60) -> str:
    """A value of a file as it stands there, on one line and cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def is_int(value: Any) -> bool:
    """Whether JSON gave a whole number; `true` is none."""
    return type(value) is int


def is_number(value: Any) -> bool:
    """Whether JSON gave a number, NaN and Infinity among them; `true` is none."""
    return type(value) in (int, float)


def is_finite(value: Any) -> bool:
    """Whether JSON gave a number that is neither NaN nor infinite, whole ones of any length."""
    return is_number(value) and -math.inf < value < math.inf
