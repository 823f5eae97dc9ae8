"""Figures of a model's predictions: panoptic quality, mean IoU and mask AP."""

from mmproscale.evaluation.coco_metric import CocoMetric
from mmproscale.evaluation.universal_metric import UniversalSegMetric

__all__ = ["CocoMetric", "UniversalSegMetric"]
