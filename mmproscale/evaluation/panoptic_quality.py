"""PQ, SQ and RQ by panopticapi's protocol (computed by hotcoco), and the table that shows them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hotcoco.panoptic import PanopticEval
from terminaltables import AsciiTable

from mmproscale.errors import InputError

GROUPS = {"All": "", "Things": "_th", "Stuff": "_st"}
"""The protocol's groups of classes, and what mmdet appends to a figure's name for each."""


def panoptic_quality(
    gt_json: str | Path, gt_folder: str | Path, pred_json: str | Path, pred_folder: str | Path
) -> dict[str, Any]:
    """Compare two sets of COCO panoptic JSON and PNGs.

    Every image of ``gt_json`` must be predicted; what ``pred_json`` has beyond them is left out.

    Returns:
        ``All``, ``Things``, ``Stuff``: dicts of ``pq``, ``sq``, ``rq`` in 0..1 and ``n``, the
        number of classes averaged (those that occur in neither set are left out). ``per_class``:
        category id to ``pq``, ``sq``, ``rq``, ``iou``, ``tp``, ``fp``, ``fn``. Where nothing was
        counted, figures are NaN.

    Raises:
        InputError: Files are missing or contradict each other (sizes, ids, categories).
    """
    try:
        evaluation = PanopticEval(
            str(gt_json), str(pred_json), gt_folder=str(gt_folder), pred_folder=str(pred_folder)
        )
        evaluation.evaluate()
        results = evaluation.results()
    except (ValueError, OSError) as error:
        raise InputError(f"panoptic evaluation of {gt_folder}: {error}") from error
    per_class = {int(k): _without_sentinel(v) for k, v in results["per_class"].items()}
    return {group: _without_sentinel(results[group]) for group in GROUPS} | {"per_class": per_class}


def _without_sentinel(figures: dict[str, Any]) -> dict[str, Any]:
    """Replace hotcoco's -1 for "nothing to average", which would read as a percentage."""
    return {k: math.nan if k in ("pq", "sq", "rq") and v < 0 else v for k, v in figures.items()}


def named_percentages(quality: dict[str, Any]) -> dict[str, float]:
    """PQ, SQ, RQ, PQ_th, ..., RQ_st in percent, under mmdet's names."""
    return {
        f"{key.upper()}{suffix}": 100 * quality[group][key]
        for group, suffix in GROUPS.items()
        for key in ("pq", "sq", "rq")
    }


def quality_table(
    quality: dict[str, Any], categories: Sequence[dict[str, Any]], classwise: bool = True
) -> str:
    """Lay the figures out for a person: the three groups, then each class if ``classwise``.

    Classes come in the order of ``categories``; a dash stands where nothing was counted.
    """
    rows = [["", "PQ", "SQ", "RQ", "matched", "missed", "extra"]]
    per_class = quality["per_class"]
    for group in GROUPS:
        members = [c["id"] for c in categories if group == "All" or _group(c) == group]
        counts = [sum(per_class[i][key] for i in members) for key in ("tp", "fn", "fp")]
        rows.append([f"{group} ({quality[group]['n']} classes)", *_row(quality[group], counts)])
    for category in categories if classwise else ():
        figures = per_class[category["id"]]
        counts = [figures[key] for key in ("tp", "fn", "fp")]
        name = f"{category['name']} ({_group(category).lower()})"
        rows.append([name, *_row(figures, counts)])
    table = AsciiTable(rows)
    table.justify_columns = dict.fromkeys(range(1, 7), "right")
    return table.table


def _group(category: dict[str, Any]) -> str:
    return "Things" if category["isthing"] else "Stuff"


def _row(figures: dict[str, Any], counts: Sequence[int]) -> list[str]:
    values = [figures[key] for key in ("pq", "sq", "rq")]
    return [("-" if math.isnan(v) else f"{100 * v:.2f}") for v in values] + [str(n) for n in counts]
