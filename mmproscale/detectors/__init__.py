"""Whole models around our heads and encoders."""

from mmproscale.detectors.early_exit_detr import EarlyExitDETR
from mmproscale.detectors.scheduled_detectors import (
    ScheduledDDQDETR,
    ScheduledDeformableDETR,
    ScheduledDINO,
)
from mmproscale.detectors.universal_segmentor import UniversalSegmentor
from mmproscale.detectors.universal_tta import UniversalTTA

__all__ = [
    "EarlyExitDETR",
    "ScheduledDDQDETR",
    "ScheduledDINO",
    "ScheduledDeformableDETR",
    "UniversalSegmentor",
    "UniversalTTA",
]
