"""Whole models with our heads and encoders."""

from mmproscale.models.detectors.early_exit_detector import EarlyExitDETR
from mmproscale.models.detectors.scheduled_detectors import (
    ScheduledDDQDETR,
    ScheduledDeformableDETR,
    ScheduledDINO,
)
from mmproscale.models.detectors.universal_segmentor import UniversalSegmentor
from mmproscale.models.detectors.universal_tta import UniversalTTA

__all__ = [
    "EarlyExitDETR",
    "ScheduledDDQDETR",
    "ScheduledDINO",
    "ScheduledDeformableDETR",
    "UniversalSegmentor",
    "UniversalTTA",
]
