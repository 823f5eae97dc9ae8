"""Report of all figures: a dict for programs and a table for people."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from terminaltables import AsciiTable

from mmproscale.evaluation.image_score import ImageScore
from mmproscale.evaluation.mean_iou import AREAS, semantic_quality
from mmproscale.evaluation.panoptic_quality import COUNTS, GROUPS, image_quality, panoptic_quality

_AP_NAMES = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "aps": "APs", "apm": "APm", "apl": "APl"}


def add_up(
    scores: Sequence[ImageScore], num_classes: int, kinds: Sequence[str]
) -> dict[str, np.ndarray]:
    """Add up the counts of images: ``panoptic`` (C, 4) and ``semantic`` (C, 3), if in ``kinds``."""
    widths = {"panoptic": len(COUNTS), "semantic": len(AREAS)}
    totals = {k: np.zeros((num_classes, widths[k]), np.int64) for k in kinds if k in widths}
    for score in scores:
        for name, counts in score.counts.items():
            totals[name] += counts
    return totals


def make_report(
    num_images: int,
    totals: Mapping[str, np.ndarray],
    precision: Mapping[str, Any] | None,
    per_image: Mapping[Any, np.ndarray] | None,
    categories: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Compute all figures in 0..1; a figure of no class or of nothing is NaN.

    Args:
        num_images: Number of scored images.
        totals: As :func:`add_up`, over all images.
        precision: As ``average_precision``; None leaves AP out.
        per_image: Image id -> (C, 4) counts; None leaves the figures of images out.
        categories: In the order of labels.

    Returns:
        ``images``; ``all``, ``things``, ``stuff``, ``per_class`` as ``panoptic_quality``;
        ``semantic`` as ``semantic_quality``; ``instance`` as ``average_precision``; ``per_image``:
        image id as text -> as ``image_quality``. Classes are named by category id, as text.
    """
    report: dict[str, Any] = {"images": num_images}
    if "panoptic" in totals:
        report |= panoptic_quality(totals["panoptic"], categories)
    if "semantic" in totals:
        report["semantic"] = semantic_quality(totals["semantic"], categories)
    if precision is not None:
        report["instance"] = dict(precision)
    if per_image is not None:
        report["per_image"] = {str(i): image_quality(c, categories) for i, c in per_image.items()}
    return report


def named_percentages(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the report's PQ, SQ, RQ, PQ_th, ..., RQ_st, mIoU, AP, ..., APl in percent."""
    figures = {
        f"{key.upper()}{suffix}": report[group][key]
        for group, suffix in GROUPS.items()
        if group in report
        for key in ("pq", "sq", "rq")
    }
    if "semantic" in report:
        figures["mIoU"] = report["semantic"]["miou"]
    if "instance" in report:
        figures |= {name: report["instance"][key] for key, name in _AP_NAMES.items()}
    return {name: 100 * value for name, value in figures.items()}


def report_table(
    report: Mapping[str, Any], categories: Sequence[dict[str, Any]], classwise: bool = False
) -> str:
    """Lay out the figures in percent: the groups and, if ``classwise``, each class.

    IoU in the row of all classes is mIoU, AP in the row of things is COCO's AP. A dash means that
    nothing was counted.
    """
    rows = [_heading(report)]
    for group in GROUPS:
        members = [c for c in categories if group in ("all", _group(c))]
        rows.append(_group_row(report, group, members))
    if classwise:
        rows += [_class_row(report, category) for category in categories]
    table = AsciiTable(rows)
    table.justify_columns = dict.fromkeys(range(1, len(rows[0])), "right")
    if "instance" not in report:
        return table.table
    sizes = (f"{name} {_percent(report['instance'][key])}" for key, name in _AP_NAMES.items())
    return f"{table.table}\nmasks of things: {', '.join(sizes)}"


def _heading(report: Mapping[str, Any]) -> list[str]:
    heading = ["", *(["PQ", "SQ", "RQ"] if "all" in report else [])]
    heading += [title for title, key in (("IoU", "semantic"), ("AP", "instance")) if key in report]
    return heading + (["matched", "missed", "extra"] if "all" in report else [])


def _group_row(report: Mapping[str, Any], group: str, members: Sequence[dict]) -> list[str]:
    quality = report.get(group)
    counted = quality["n"] if quality else len(members)
    iou = report["semantic"]["miou"] if "semantic" in report and group == "all" else math.nan
    ap = report["instance"]["ap"] if "instance" in report and group == "things" else math.nan
    segments = [report["per_class"][str(c["id"])] for c in members] if quality else []
    return _row(report, f"{group.capitalize()} ({counted} classes)", quality, iou, ap, segments)


def _class_row(report: Mapping[str, Any], category: Mapping[str, Any]) -> list[str]:
    key = str(category["id"])
    quality = report["per_class"][key] if "all" in report else None
    if quality and not quality["tp"] + quality["fp"] + quality["fn"]:
        quality = quality | dict.fromkeys(("pq", "sq", "rq"), math.nan)
    iou = report["semantic"]["per_class"][key] if "semantic" in report else math.nan
    ap = report["instance"]["per_class"].get(key, math.nan) if "instance" in report else math.nan
    name = f"{category['name']} ({_group(category)})"
    return _row(report, name, quality, iou, ap, [quality] if quality else [])


def _row(
    report: Mapping[str, Any],
    name: str,
    quality: Mapping[str, Any] | None,
    iou: float,
    ap: float,
    segments: Sequence[Mapping[str, Any]],
) -> list[str]:
    row = [name, *([_percent(quality[key]) for key in ("pq", "sq", "rq")] if quality else [])]
    row += [_percent(v) for v, key in ((iou, "semantic"), (ap, "instance")) if key in report]
    counts = [str(sum(s[key] for s in segments)) for key in ("tp", "fn", "fp")]
    return row + (counts if quality else [])


def _group(category: Mapping[str, Any]) -> str:
    return "things" if category["isthing"] else "stuff"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"
