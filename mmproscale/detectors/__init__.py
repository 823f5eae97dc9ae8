"""Whole models around our heads and encoders."""

from mmproscale.detectors.early_exit_detr import EarlyExitDETR
from mmproscale.detectors.universal_segmentor import UniversalSegmentor
from mmproscale.detectors.universal_tta import UniversalTTA

__all__ = ["EarlyExitDETR", "UniversalSegmentor", "UniversalTTA"]
