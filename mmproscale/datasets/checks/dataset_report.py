"""Report on one dataset: its faults and notes by kind, and counts of its content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from mmproscale.datasets.checks.annotation_faults import is_image_id
from mmproscale.utils.faults import Fault, is_int
from mmproscale.utils.words import plural


@dataclass
class FaultsOfKind:
    """Number of faults of one kind, and the first of them."""

    count: int = 0
    first: list[Fault] = field(default_factory=list)


class DatasetReport:
    """Collection of a dataset's faults, with the text of the first of each kind, and counts.

    Args:
        name: name of the dataset: the annotation file, and its place in the config if there is one.
        limit: number of faults kept for each kind.
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
        """Tell whether there is no fault; notes don't count."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON's types."""
        return dict(
            name=self.name,
            clean=self.clean,
            faults=_kinds_as_json(self.faults),
            notes=_kinds_as_json(self.notes),
            counts=self.counts,
        )

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        verdict = "clean" if self.clean else plural(_total(self.faults), "fault")
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


def count_content(content: dict, panoptic: bool) -> dict[str, Any]:
    """Count what a COCO file lists: images, segments or instances, objects of each class.

    Args:
        content: the parsed file; it must have its three lists, and may have other faults.
        panoptic: True if the file lists segments, False if it lists instances.
    """
    annotations, what = content["annotations"], "segments" if panoptic else "instances"
    lists = [a.get("segments_info") for a in annotations] if panoptic else [annotations]
    segments = [
        [o for o in entries if isinstance(o, dict)]
        for entries in lists
        if isinstance(entries, list)
    ]
    objects = [o for entries in segments for o in entries]
    per_id, crowds = (
        Counter(
            o["category_id"]
            for o in objects
            if is_int(o.get("category_id")) and bool(o.get("iscrowd")) == crowd
        )
        for crowd in (False, True)
    )
    categories = [c for c in content["categories"] if is_int(c.get("id"))]
    by_class = {str(c.get("name")): per_id[c["id"]] for c in categories}
    crowds_by_class = {str(c.get("name")): crowds[c["id"]] for c in categories if crowds[c["id"]]}
    annotated = {a.get("image_id") for a in annotations if is_image_id(a.get("image_id"))}
    sizes = Counter(f"{i.get('width')}x{i.get('height')}" for i in content["images"])
    counts = {
        "images": len(content["images"]),
        "annotated_images": len(annotated),
        what: len(objects),
        f"crowd_{what}": sum(bool(o.get("iscrowd")) for o in objects),
        "image_sizes": {"distinct": len(sizes)} | dict(sizes.most_common(5)),
        f"{what}_by_class": by_class,
        f"crowd_{what}_by_class": crowds_by_class,
        "classes_that_never_occur": [
            name for name, count in by_class.items() if not count and name not in crowds_by_class
        ],
    }
    if panoptic:
        things = {c["id"] for c in categories if c.get("isthing")}
        counts["images_without_things"] = sum(
            not any(is_int(s.get("category_id")) and s["category_id"] in things for s in of_image)
            for of_image in segments
        )
    return counts
