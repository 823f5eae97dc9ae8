"""Efficient universal segmentation for OpenMMLab: PRO-SCALE and its kin as registry plug-ins."""

from mmproscale.version import __version__

__all__ = ["__version__"]
