"""Points of the trade-off as rows of a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmproscale.early_exit.derived_table import Origin
from mmproscale.early_exit.trade_off import CONFIDENCE, Interval, Point


def rows(points: Sequence[Point], origin: Origin) -> list[list[str]]:
    """Heading and a row for each point; the quality is the dataset's where there are counts."""
    name = origin.quality.upper()
    heading = ["", "GFLOPs", f"{name} ({CONFIDENCE:.0%})", f"mean image {name}"]
    exits = "/".join(str(exit_) for exit_ in origin.exits)
    table = [[*heading, "over fixed exits", f"images at {exits}"]]
    for point in points:
        over = "" if point.kind == "fixed" else f"{point.over_fixed:+.2f} "
        table.append(
            [
                point.name,
                f"{point.gmacs:.2f}",
                f"{point.quality:.2f} {_between(point.interval)}",
                f"{point.mean_image_quality:.2f}",
                over and over + _between(point.over_fixed_interval, sign="+"),
                "/".join(str(number) for number in point.exits.values()),
            ]
        )
    return table


def as_json(points: Sequence[Point], origin: Origin, fitted: int, judged: int) -> dict[str, Any]:
    """What the curve shows, for programs."""
    return dict(
        config=origin.config,
        fingerprint=origin.fingerprint,
        quality=origin.quality,
        quality_is_of="dataset" if origin.categories else "images, on average",
        schedule=origin.schedule,
        exits=list(origin.exits),
        images_fitted_to=fitted,
        images_judged_by=judged,
        points=[point.as_json() for point in points],
    )


def _between(interval: Interval, sign: str = "") -> str:
    low, high = interval
    return f"({low:{sign}.1f},{high:{sign}.1f})"  # in one word, which a table does not fold
