"""Efficient universal segmentation for OpenMMLab: PRO-SCALE, ECO-M2F and PEM as registry plug-ins.

Importing this package checks the installed versions, provides stand-ins for parts that stock
OpenMMLab lacks, has checkpoints read as data only, and registers the scope `mmproscale`. It does
not import torch, mmcv or mmdet.
"""

from mmproscale import compat

compat.apply()

from mmproscale import checkpoints, registry  # noqa: E402  (after the check of versions)
from mmproscale.version import __version__  # noqa: E402

checkpoints.install_when_imported()

__all__ = ["__version__", "registry"]
