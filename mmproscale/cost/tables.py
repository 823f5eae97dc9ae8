"""Results as rows of text: one for each part, one column for each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NO_BREAK = "\N{NO-BREAK SPACE}"


def rows(case: Mapping[str, Any]) -> list[list[str]]:
    """Heading and rows: median ms and, but for the first candidate, the ratio and quartiles.

    A part that a candidate does not have is ``-``.
    """
    candidates = case["candidates"]
    table = [["", *(candidate["name"] for candidate in candidates)]]
    for part in _all_parts(candidates):
        cells = [_time(c["parts"].get(part), first=not i) for i, c in enumerate(candidates)]
        table.append([part, *cells])
    memory = [candidate.get("peak_memory_mib") for candidate in candidates]
    if any(mib is not None for mib in memory):
        table.append(["peak memory", *(_memory(mib) for mib in memory)])
    return table


def _all_parts(candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every part once; what only a later candidate has stands before the part that follows it."""
    order: list[str] = []
    for candidate in candidates:
        place = len(order)
        for part in reversed(candidate["parts"]):
            if part not in order:
                order.insert(place, part)
            place = order.index(part)
    return order


def markdown(table: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table."""
    heading, *body = table
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _time(part: Mapping[str, Any] | None, first: bool) -> str:
    if part is None:
        return "-"
    text = f"{significant(part['ms']['median'])}{NO_BREAK}ms"
    if first or "ratio" not in part:
        return text
    low, high = part["ratio"]["quartiles"]
    return f"{text}, {part['ratio']['median']:.2f} ({low:.2f} to {high:.2f})"


def _memory(mib: float | None) -> str:
    return "-" if mib is None else f"{significant(mib)}{NO_BREAK}MiB"


def significant(number: float) -> str:
    """Three digits that count: 0.123, 1.23, 12.3, 123, 1,234; none after the third decimal."""
    decimals = next((d for d, least in ((0, 99.95), (1, 9.995), (2, 0.9995)) if number >= least), 3)
    return f"{number:,.{decimals}f}"
