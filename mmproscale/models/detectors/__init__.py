"""Whole models with our heads and encoders; those of mmseg are imported when they are built."""

from __future__ import annotations

from mmengine.model import BaseModel

from mmproscale.models.detectors.early_exit_detector import EarlyExitDETR
from mmproscale.models.detectors.scheduled_detectors import (
    ScheduledDDQDETR,
    ScheduledDeformableDETR,
    ScheduledDINO,
)
from mmproscale.models.detectors.universal_segmentor import UniversalSegmentor
from mmproscale.models.detectors.universal_tta import UniversalTTA
from mmproscale.registry import MODELS

__all__ = [
    "EarlyExitDETR",
    "ScheduledDDQDETR",
    "ScheduledDINO",
    "ScheduledDeformableDETR",
    "UniversalSegmentor",
    "UniversalTTA",
]


@MODELS.register_module(name="SemanticSegmentor")
def semantic_segmentor(**arguments) -> BaseModel:
    """Build a :class:`mmproscale.models.detectors.semantic_segmentor.SemanticSegmentor`."""
    from mmproscale.models.detectors.semantic_segmentor import SemanticSegmentor

    return SemanticSegmentor(**arguments)
