"""Losses of predicted masks: matching, targets, points."""

from mmproscale.models.criterion.mask_criterion import MaskCriterion
from mmproscale.models.criterion.targets import (
    QueryPredictions,
    Targets,
    panoptic_targets,
    semantic_targets,
)

__all__ = ["MaskCriterion", "QueryPredictions", "Targets", "panoptic_targets", "semantic_targets"]
