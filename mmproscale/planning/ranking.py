"""Ranking of encoders by the paper's figures, and the frontier of price and rank.

Costs are exact. Accuracy is known only for the encoders in the paper's tables. One assumption
extends it: among encoders of one family, more layers on every level, and the 3x3 convolution
instead of LPE, do no harm. All rows of the paper that differ only in layers agree with this order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmproscale.planning.candidates import M2F, Candidate, Framework
from mmproscale.planning.published import CONV, LPE, PUBLISHED, Published

EMBEDDING_RANKS = {None: 0, LPE: 0, CONV: 1}
Rows = tuple[tuple[Candidate, Published], ...]


@dataclass(frozen=True)
class PaperRanking:
    """Ranking of candidates with one backbone by the rows of the paper's tables.

    Args:
        rows: Rows of the backbone itself, which may be quoted.
        order: Rows that the ranking uses: its own or, if these are too few, those of the
            framework's usual backbone.
    """

    rows: Rows
    order: Rows

    @classmethod
    def of_backbone(cls, backbone: str, framework: Framework = M2F) -> PaperRanking:
        """Take the backbone's own rows for the ranking if there are more than two."""
        dataset, other = framework.dataset, framework.ordered_by
        own = _rows(backbone, dataset)
        return cls(own, own if len(own) > 2 or backbone == other else _rows(other, dataset))

    @property
    def is_borrowed(self) -> bool:
        """True if another backbone's rows give the ranking."""
        return self.order is not self.rows

    def row_of(self, candidate: Candidate) -> Published | None:
        """Return the row of exactly this encoder with exactly this backbone."""
        rows = (
            row
            for known, row in self.rows
            if known.schedule == candidate.schedule
            and known.pixel_embedding == candidate.pixel_embedding
        )
        return next(rows, None)

    def lower_bound(self, candidate: Candidate) -> Published | None:
        """Return the best row of an encoder that :func:`includes` says the candidate includes."""
        rows = [row for known, row in self.order if includes(candidate, known)]
        return max(rows, key=lambda row: row.score, default=None)

    def rank(self, candidate: Candidate) -> tuple[float, float, int]:
        """Return the sort key: PQ or AP of the lower bound, mean updates, pixel embedding."""
        row = self.lower_bound(candidate)
        embedding = EMBEDDING_RANKS[candidate.pixel_embedding]
        return row.score if row else 0.0, candidate.mean_updates, embedding


def includes(more: Candidate, less: Candidate) -> bool:
    """Compare two encoders of one family: no level is updated less, no embedding is weaker."""
    return (
        more.family == less.family
        and len(more.updates) == len(less.updates)
        and all(m >= n for m, n in zip(more.updates, less.updates, strict=True))
        and EMBEDDING_RANKS[more.pixel_embedding] >= EMBEDDING_RANKS[less.pixel_embedding]
    )


def frontier(
    candidates: Sequence[Candidate], ranking: PaperRanking, price: Callable[[Candidate], float]
) -> list[Candidate]:
    """Return, by rising price, the candidates that rank higher than every cheaper one."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=price):
        if not kept or ranking.rank(candidate) > ranking.rank(kept[-1]):
            kept.append(candidate)
    return kept


def _rows(backbone: str, dataset: str | None) -> Rows:
    families = {"PRO-SCALE": "pro_scale", "M2F": "m2f", "Lite": "lite"}
    return tuple(
        (Candidate(families[s.name.split()[0]], s, (), row.pixel_embedding), row)
        for row in PUBLISHED
        if (row.dataset, row.backbone) == (dataset, backbone) and (s := row.schedule) is not None
    )
