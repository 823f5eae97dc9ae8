"""Figures of a model's predictions, and the formats they are computed from."""

from mmproscale.evaluation.universal_metric import UniversalSegMetric

__all__ = ["UniversalSegMetric"]
