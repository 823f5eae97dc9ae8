"""Panoptic quality of a model's predictions, and the formats it is computed from."""

from mmproscale.evaluation.panoptic_metric import PanopticMetric

__all__ = ["PanopticMetric"]
