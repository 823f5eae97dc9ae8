"""Summary of a conversion: its JSON, and the numbers that a person should see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmproscale.utils.words import few, plural


@dataclass(frozen=True)
class Counts:
    """Numbers of one image's source.

    Args:
        drawn: Number of the source's shapes that have a pixel.
        left_out: (reason, place) of each shape that left no pixel.
        void_values: Value of the source's map -> number of its pixels, which are void.
        crowds: Number of crowds that became part of another crowd's segment.
    """

    drawn: int = 0
    left_out: Sequence[tuple[str, str]] = ()
    void_values: Mapping[int, int] = field(default_factory=dict)
    crowds: int = 0


NO_COUNTS = Counts()
_ONE = dict(segments="segment", instances="instance", boxes="box")


class Summary:
    """Content of a split's JSON, and the numbers that a person should see.

    Args:
        categories: COCO's ``categories``.
        notes: Lines on the source that :meth:`lines` repeats.
        what: Name of the JSON's objects: segments, instances or boxes.
    """

    def __init__(
        self,
        categories: Sequence[dict[str, Any]],
        notes: Sequence[str] = (),
        what: str = "segments",
    ) -> None:
        self.notes, self.what = notes, what
        self.content: dict[str, Any] = dict(images=[], annotations=[], categories=list(categories))
        self.drawn = self.pixels = self.merged_crowds = 0
        self.left_out: dict[str, list[str]] = {}
        self.void_values: Counter[int] = Counter()

    def add(self, image: dict, annotations: Sequence[dict], counts: Counts) -> None:
        """Add one image's entries and numbers."""
        self.content["images"].append(image)
        self.content["annotations"] += annotations
        self.count(image, counts)

    def count(self, image: dict, counts: Counts) -> None:
        """Add one image's numbers."""
        self.drawn += counts.drawn
        self.merged_crowds += counts.crowds
        self.pixels += image["height"] * image["width"]
        self.void_values.update(counts.void_values)
        for reason, place in counts.left_out:
            self.left_out.setdefault(reason, []).append(place)

    def lines(self) -> list[str]:
        """Return the numbers of images, segments and shapes, and warnings about classes."""
        annotations = self.content["annotations"]
        segments = [s for a in annotations for s in a.get("segments_info", [a])]
        things = sum(bool(category["isthing"]) for category in self.content["categories"])
        stuff = len(self.content["categories"]) - things
        crowds = sum(segment["iscrowd"] for segment in segments)
        images = plural(len(self.content["images"]), "image")
        counted = f"{images}, {plural(len(segments), _ONE[self.what])}"
        first = f"{counted}, {plural(things, 'thing')} and {plural(stuff, 'stuff class')}"
        if crowds:
            merged = f" ({self.merged_crowds} more were merged into them)" * bool(
                self.merged_crowds
            )
            first += f"; {crowds} of the {self.what} are crowds{merged}"
        lines = [first, *self.notes, *self._warnings(segments)]
        lost = sum(map(len, self.left_out.values()))
        why = "; ".join(
            f"{len(places)} {reason}, first: {places[0]}"
            for reason, places in self.left_out.items()
        )
        ending = f", {lost} left no pixel ({why})" if lost else ", none left no pixel"
        return [*lines, f"{plural(self.drawn, 'shape')} drawn{ending}"]

    def _warnings(self, segments: list[dict[str, Any]]) -> Iterator[str]:
        single = {s["category_id"] for s in segments if not s["iscrowd"]}
        crowds = Counter(s["category_id"] for s in segments if s["iscrowd"])
        names = {c["id"]: c["name"] for c in self.content["categories"]}
        absent = [names[i] for i in names if i not in single and i not in crowds]
        if absent:
            yield f"warning: {len(absent)} of {len(names)} classes occur in no image: {few(absent)}"
        for category_id in crowds.keys() - single:
            count, name = crowds[category_id], names[category_id]
            yield (
                f"warning: class '{name}' occurs as crowd only ({plural(count, 'segment')}), so it "
                "is not learned: set iscrowd to 0 if these are single objects"
            )
        for value, pixels in self.void_values.items():
            if pixels * 3 >= self.pixels:
                share = pixels / self.pixels
                yield f"warning: value {value} covers {share:.0%} of the pixels, which are void"
