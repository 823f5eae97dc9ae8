"""Which encoder for a budget: those worth a look, their cost, and what the paper says of them.

Costs are exact. Of accuracy only the paper's figures are known, and one assumption is made: that
among encoders of one family more layers on every level, and the 3x3 convolution in the place of
LPE, do no harm. All rows of the paper that differ in nothing else agree with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmproscale.errors import InputError
from mmproscale.models.encoders.schedule import Schedule, build_schedule
from mmproscale.planning.frameworks import M2F, Framework
from mmproscale.planning.published import CONV, LPE, PUBLISHED, Published

RANKS = {None: 0, LPE: 0, CONV: 1}
NOT_COUNTS = ("type", "levels", "fine_channels")  # keys of schedules


@dataclass(frozen=True)
class Candidate:
    """An encoder, of Mask2Former with its pixel embedding.

    Args:
        family: The schedule's type, as in a config.
        schedule: The schedule.
        config: Its config.
        pixel_embedding: ``'conv'`` or ``'lpe'``; None in a detector.
        macs: Multiply-accumulates of the whole model in the papers' form, once they are known.
        latency: Milliseconds, where measured.
    """

    family: str
    schedule: Schedule
    config: tuple[tuple[str, Any], ...]
    pixel_embedding: str | None
    macs: int = 0
    latency: float | None = None

    @property
    def updates(self) -> tuple[int, ...]:
        """How many layers update each level, low resolution first."""
        layers = self.schedule.layers
        return tuple(sum(s in layer.queries for layer in layers) for s in self.schedule.strides)

    @property
    def mean_updates(self) -> float:
        """Geometric mean of :attr:`updates`; on COCO it orders PRO-SCALE's rows as PQ does."""
        return prod(self.updates) ** (1 / len(self.updates))

    @property
    def name(self) -> str:
        """As tables print it."""
        levels = dict(self.config).get("levels", ())
        together = ", strides 64 and 32 together" if (64, 32) in levels else ""
        embedding = {None: "", LPE: ", LPE", CONV: ", 3x3 conv"}[self.pixel_embedding]
        return f"{self.schedule.name}{together}{embedding}"

    @property
    def file_stem(self) -> str:
        """As configs are named: ``proscale-331-lpe`` has the numbers of the schedule's config."""
        values = [value for key, value in self.config if key not in NOT_COUNTS]
        numbers = values[0] if isinstance(values[0], tuple) else values
        digits = "".join(map(str, numbers))
        embedding = f"-{self.pixel_embedding}" if self.pixel_embedding else ""
        return f"{self.family.replace('_', '')}-{digits}{embedding}"


def make_candidate(schedule: dict[str, Any], pixel_embedding: str | None) -> Candidate:
    """A candidate from its schedule's config."""
    items = tuple(schedule.items())
    return Candidate(schedule["type"], build_schedule(schedule), items, pixel_embedding)


def base_config(configs: Path, backbone: str, framework: Framework = M2F) -> Path:
    """The config that candidates with a backbone change.

    Raises:
        InputError: There is none; those that are there are named.
    """
    before, after = f"proscale_{framework.name}_", "_coco.py"
    path = configs / f"{before}{backbone}{after}"
    if path.is_file():
        return path
    names = sorted(found.name for found in configs.glob(f"{before}*{after}"))
    known = ", ".join(name.removeprefix(before).removesuffix(after) for name in names)
    raise InputError(f"--backbone {backbone} is not among {known}")


def config_of(candidate: Candidate, base: Path) -> Config:
    """The candidate's config in memory."""
    return Config.fromstring(config_text(candidate, str(base.resolve())), file_format=".py")


def config_text(candidate: Candidate, base: str, comment: str = "") -> str:
    """The candidate's config as a file that trains.

    Args:
        candidate: Which.
        base: Path of its :func:`base_config`, from the file's folder or from the root.
        comment: A first line.
    """
    items = ((key, json.dumps(v) if isinstance(v, str) else v) for key, v in candidate.config)
    schedule = ", ".join(f"{key}={value}" for key, value in items)
    lines = [
        *([f"# {comment}"] if comment else []),
        f"_base_ = {json.dumps(base)}",
        f"schedule = dict(_delete_=True, {schedule})",
        *(_pixel_decoder(candidate) if candidate.pixel_embedding else _encoder(candidate)),
    ]
    return "\n".join(lines) + "\n"


def _pixel_decoder(candidate: Candidate) -> list[str]:
    embedding = {LPE: "LPE", CONV: "ConvPixelEmbedding"}[candidate.pixel_embedding]
    kind = "ProScale" if candidate.family == "pro_scale" else "Deformable"
    return [
        "decoder = dict(",
        f'    type="mmproscale.{kind}PixelDecoder",',
        "    encoder=dict(schedule=schedule),",
        f'    pixel_embedding=dict(type="{embedding}"),',
        ")",
        "model = dict(panoptic_head=dict(pixel_decoder=decoder))",
        "del schedule, decoder",
    ]


def _encoder(candidate: Candidate) -> list[str]:
    recalibration = 'dict(type="TRC")' if candidate.family == "pro_scale" else None
    return [
        f"model = dict(encoder=dict(schedule=schedule), recalibration={recalibration})",
        "del schedule",
    ]


@dataclass(frozen=True)
class Evidence:
    """What the paper says of candidates with one backbone.

    Args:
        rows: The backbone's own rows, which may be quoted.
        order: The rows that tell which is better: its own or, where these are too few, Swin-T's.
    """

    rows: tuple[tuple[Candidate, Published], ...]
    order: tuple[tuple[Candidate, Published], ...]

    @classmethod
    def of(cls, backbone: str, framework: Framework = M2F) -> Evidence:
        """The rows of a backbone, of which more than two are needed to order by."""
        dataset, other = framework.dataset, framework.ordered_by
        own = _rows(backbone, dataset)
        return cls(own, own if len(own) > 2 or backbone == other else _rows(other, dataset))

    @property
    def is_borrowed(self) -> bool:
        """Whether the order is by another backbone's rows."""
        return self.order is not self.rows

    def exact(self, candidate: Candidate) -> Published | None:
        """The row of this very encoder with this very backbone."""
        rows = (row for known, row in self.rows if _key(known) == _key(candidate))
        return next(rows, None)

    def at_least(self, candidate: Candidate) -> Published | None:
        """The best row of an encoder that this one has all of."""
        rows = [row for known, row in self.order if has_all_of(candidate, known)]
        return max(rows, key=lambda row: row.score, default=None)

    def promise(self, candidate: Candidate) -> tuple[float, float, int]:
        """What a candidate is chosen by: PQ or AP that the paper makes sure, updates, embedding."""
        sure = self.at_least(candidate)
        return sure.score if sure else 0.0, candidate.mean_updates, RANKS[candidate.pixel_embedding]


def has_all_of(more: Candidate, less: Candidate) -> bool:
    """One family, no level updated less often, no weaker pixel embedding."""
    return (
        more.family == less.family
        and len(more.updates) == len(less.updates)
        and all(m >= n for m, n in zip(more.updates, less.updates, strict=True))
        and RANKS[more.pixel_embedding] >= RANKS[less.pixel_embedding]
    )


def frontier(
    candidates: Sequence[Candidate], evidence: Evidence, price: Callable[[Candidate], float]
) -> list[Candidate]:
    """By rising price, the candidates that promise more than every cheaper one."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=price):
        if not kept or evidence.promise(candidate) > evidence.promise(kept[-1]):
            kept.append(candidate)
    return kept


def _candidate_of(row: Published) -> Candidate:
    assert row.schedule is not None
    family = {"PRO-SCALE": "pro_scale", "M2F": "m2f", "Lite": "lite"}[row.schedule.name.split()[0]]
    return Candidate(family, row.schedule, (), row.pixel_embedding)


def _key(candidate: Candidate) -> tuple[Schedule, str]:
    return candidate.schedule, candidate.pixel_embedding


def _rows(backbone: str, dataset: str) -> tuple[tuple[Candidate, Published], ...]:
    own = (r for r in PUBLISHED if (r.dataset, r.backbone) == (dataset, backbone))
    return tuple((_candidate_of(row), row) for row in own if row.schedule is not None)
