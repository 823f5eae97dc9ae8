"""Whole models around our heads."""

from mmproscale.detectors.universal_segmentor import UniversalSegmentor
from mmproscale.detectors.universal_tta import UniversalTTA

__all__ = ["UniversalSegmentor", "UniversalTTA"]
