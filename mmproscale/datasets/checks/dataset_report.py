"""What a check found in one dataset: faults and notes by kind, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from mmproscale.datasets.checks.faults import Fault


@dataclass
class FaultsOfKind:
    """How many faults there are of one kind, and the first of them."""

    count: int = 0
    first: list[Fault] = field(default_factory=list)


class DatasetReport:
    """Collects faults, of each kind the first `limit` with their text, and counts.

    Args:
        name: what the dataset is called: its annotation file, and where a config uses it.
        limit: faults kept for each kind.
    """

    def __init__(self, name: str, limit: int = 5) -> None:
        self.name, self._limit = name, limit
        self.faults: dict[str, FaultsOfKind] = {}
        self.notes: dict[str, FaultsOfKind] = {}
        self.counts: dict[str, Any] = {}
        self.classes: tuple[str, ...] | None = None  # by label, where they are known

    def add(self, faults: Iterable[Fault]) -> None:
        """Count `faults` and keep the first of each kind."""
        for fault in faults:
            kinds = self.notes if fault.note else self.faults
            of_kind = kinds.setdefault(fault.kind, FaultsOfKind())
            of_kind.count += 1
            if len(of_kind.first) < self._limit:
                of_kind.first.append(fault)

    @property
    def clean(self) -> bool:
        """Whether there is no fault; notes don't count."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """The report as JSON's types."""
        return dict(
            name=self.name,
            clean=self.clean,
            faults=_kinds_as_json(self.faults),
            notes=_kinds_as_json(self.notes),
            counts=self.counts,
        )

    def lines(self) -> list[str]:
        """The report as text."""
        verdict = "clean" if self.clean else f"{_total(self.faults)} faults"
        notes = f", {_total(self.notes)} notes" if self.notes else ""
        lines = [f"{self.name}: {verdict}{notes}"]
        for heading, kinds in (("fault", self.faults), ("note", self.notes)):
            for kind, found in kinds.items():
                lines.append(f"  {heading} {kind}: {found.count}")
                lines += [f"    {fault}" for fault in found.first]
                if found.count > len(found.first):
                    lines.append(f"    ... and {found.count - len(found.first)} more")
        lines += [
            f"  {key.replace('_', ' ')}: {_text(value)}" for key, value in self.counts.items()
        ]
        return lines


def _kinds_as_json(kinds: dict[str, FaultsOfKind]) -> dict[str, Any]:
    return {
        kind: dict(
            count=found.count,
            first=[asdict(fault) | dict(message=str(fault)) for fault in found.first],
        )
        for kind, found in kinds.items()
    }


def _total(kinds: dict[str, FaultsOfKind]) -> int:
    return sum(found.count for found in kinds.values())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.2%}" if isinstance(value, float) else str(value)


def size_counts(sizes: Counter) -> dict[str, int]:
    """Sizes of images: the number of distinct ones, and how often the commonest five occur.

    Args:
        sizes: (width, height) -> images.
    """
    common = {f"{width}x{height}": count for (width, height), count in sizes.most_common(5)}
    return {"distinct": len(sizes)} | common
