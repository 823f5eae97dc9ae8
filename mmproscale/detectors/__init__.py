"""Whole models around our heads."""

from mmproscale.detectors.universal_segmentor import UniversalSegmentor

__all__ = ["UniversalSegmentor"]
