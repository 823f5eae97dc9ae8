"""Faults in the files of a dataset: kind, place and text of each, and their refusal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from mmproscale.errors import InputError
from mmproscale.utils.command_names import command
from mmproscale.utils.words import plural

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Fault of a file, or with `note` a fact that is only worth knowing.

    Args:
        kind: name of the fault, the same in every check, e.g. 'segment-not-in-png'.
        file: the annotation file, image or PNG that has it.
        field: place of the fault in the file, e.g. 'annotations[3].segments_info[0].bbox'; may be
            empty.
        problem: the fault in words, with the value.
        action: the advice to the user.
        note: True if training runs with it and learns nothing wrong.
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
        """The JSON entry that the field belongs to, e.g. 'annotations[3].segments_info[0]'."""
        return self.field.rpartition(".")[0]


def refuse(faults: Iterable[Fault]) -> None:
    """Raise for the first fault; count those of its kind and those of other kinds.

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
    more += f"; {plural(others, 'other fault')}" if others else ""
    listing = f", see {command('check-dataset')}" if more else ""
    raise InputError(f"[{first.kind}] {first}{more}{listing}")


def accept(read: T | Fault) -> T:
    """Return what was read.

    Raises:
        InputError: it is a fault.
    """
    if isinstance(read, Fault):
        raise InputError(f"[{read.kind}] {read}")
    return read


def excerpt(value: Any, limit: int = 60) -> str:
    """Return a file's value as text of at most `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def is_int(value: Any) -> TypeGuard[int]:
    """Tell whether a JSON value is a whole number; booleans are not."""
    return type(value) is int


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a JSON value is a number, also NaN or infinite; booleans are not."""
    return type(value) in (int, float)


def is_finite(value: Any) -> TypeGuard[float]:
    """Tell whether a JSON value is a number that a float can hold, and not NaN or infinite."""
    return is_number(value) and abs(value) <= sys.float_info.max
