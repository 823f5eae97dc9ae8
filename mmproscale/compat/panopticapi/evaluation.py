"""Counters of panoptic quality: matched, missed and spurious segments of each category."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

VOID = 0
# One integer holds OFFSET * ground-truth id + predicted id: ids have three bytes.
OFFSET = 256 * 256 * 256


@dataclass
class PQStatCat:
    """Counts of one category: the sum of matched IoU, and the segments behind it."""

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __iadd__(self, other: PQStatCat) -> PQStatCat:
        self.iou += other.iou
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        return self

    @property
    def events(self) -> int:
        """Number of segments; a category without segments is left out of a mean."""
        return self.tp + self.fp + self.fn

    def quality(self) -> dict[str, float]:
        """Return pq, sq and rq in [0, 1]; zeros for a category without segments."""
        if self.events == 0:
            return {"pq": 0.0, "sq": 0.0, "rq": 0.0}
        halved = self.tp + 0.5 * self.fp + 0.5 * self.fn
        return {
            "pq": self.iou / halved,
            "sq": self.iou / self.tp if self.tp else 0.0,
            "rq": self.tp / halved,
        }


class PQStat:
    """Counts of all categories, by category id; they add up over images and processes."""

    def __init__(self) -> None:
        self.pq_per_cat: dict[int, PQStatCat] = {}

    def __getitem__(self, category_id: int) -> PQStatCat:
        return self.pq_per_cat.setdefault(category_id, PQStatCat())

    def __iter__(self) -> Iterator[int]:
        return iter(self.pq_per_cat)

    def __iadd__(self, other: PQStat) -> PQStat:
        for category_id, counts in other.pq_per_cat.items():
            self[category_id] += counts
        return self

    def __setitem__(self, category_id: int, counts: PQStatCat) -> None:
        # `stat[id] += counts` reads, adds in place, and sets.
        self.pq_per_cat[category_id] = counts

    def pq_average(
        self, categories: Mapping[int, Mapping], isthing: bool | None
    ) -> tuple[dict[str, float], dict[int, dict[str, float]]]:
        """Return the mean quality over the categories that occur, and the quality of each.

        Args:
            categories: Category id -> its COCO entry, of which `isthing` is read.
            isthing: True for things only, False for stuff only, None for all.

        Returns:
            (dict of pq, sq, rq and n, the number of categories in the mean; category id -> dict of
            pq, sq, rq). The mean over no category is 0.
        """
        wanted = [
            category_id
            for category_id, info in categories.items()
            if isthing is None or bool(info["isthing"]) == isthing
        ]
        per_class = {category_id: self[category_id].quality() for category_id in wanted}
        seen = [per_class[category_id] for category_id in wanted if self[category_id].events]
        mean = {
            key: sum(quality[key] for quality in seen) / max(len(seen), 1)
            for key in ("pq", "sq", "rq")
        }
        return {**mean, "n": len(seen)}, per_class
