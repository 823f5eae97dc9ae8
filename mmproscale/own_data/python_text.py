"""Values as Python text in the house's format: double quotes, a hundred columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

WIDTH = 100


def literal(value: str | float | int | None) -> str:
    """A value as ruff would leave it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def assigned_names(variable: str, names: Sequence[str]) -> str:
    """A tuple of strings: in one line, or where that is too long one a line."""
    items = [literal(name) for name in names]
    comma = "," if len(items) == 1 else ""
    line = f"{variable} = ({', '.join(items)}{comma})"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{variable} = (", *(f"    {item}," for item in items), ")"])


def assigned_weights(variable: str, weights: Mapping[str, float]) -> str:
    """A dict of numbers, one a line."""
    items = (f"    {literal(name)}: {weight!r}," for name, weight in weights.items())
    return "\n".join([f"{variable} = {{", *items, "}"])


def folder_text(path: str) -> str:
    """A folder as configs write it: with the slash at the end."""
    return literal(path.rstrip("/") + "/") if path not in ("", ".") else literal("")


def call(function: str, arguments: Sequence[str], indent: int, after: str = ",") -> str:
    """A call in one line or, where that is too long, with an argument a line.

    Args:
        function: what stands before the parenthesis: ``data_prefix=dict``.
        arguments: as text.
        indent: columns before it.
        after: what follows it.
    """
    space = " " * indent
    line = f"{space}{function}({', '.join(arguments)}){after}"
    if len(line) <= WIDTH:
        return line
    inner = [f"{space}    {argument}," for argument in arguments]
    return "\n".join([f"{space}{function}(", *inner, f"{space}){after}"])
