"""The figures of each class, which mmseg's IoUMetric prints and does not return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def keep_class_figures(metric: Any) -> None:
    """Have mmseg's ``IoUMetric`` keep :func:`class_figures` as ``report`` when it computes them.

    Other metrics stay as they are.
    """
    compute = getattr(metric, "total_area_to_metrics", None)
    if compute is None:
        return

    def compute_and_keep(*args: Any, **kwargs: Any) -> Mapping[str, np.ndarray]:
        figures = compute(*args, **kwargs)
        metric.report = class_figures(figures, metric.dataset_meta["classes"])
        return figures

    metric.total_area_to_metrics = compute_and_keep


def class_figures(figures: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, Any]:
    """Means and figures by class, all in 0..1, NaN where nothing was counted.

    Args:
        figures: As ``IoUMetric`` computes them: ``aAcc``, one number, and others, such as ``IoU``
            and ``Acc``, of each class.
        names: The classes in the order of labels.

    Returns:
        ``all``: ``aAcc``, ``mIoU``, ``mAcc``, ...; ``per_class``: name -> ``IoU``, ``Acc``, ...
    """
    by_class = {key: values for key, values in figures.items() if key != "aAcc"}
    means = {f"m{key}": float(_mean(values)) for key, values in by_class.items()}
    rows = zip(*by_class.values(), strict=True)
    return {
        "all": {"aAcc": float(figures["aAcc"]), **means},
        "per_class": {
            name: dict(zip(by_class, map(float, row), strict=True))
            for name, row in zip(names, rows, strict=True)
        },
    }


def _mean(values: np.ndarray) -> float:
    seen = values[~np.isnan(values)]
    return seen.mean() if len(seen) else np.nan
