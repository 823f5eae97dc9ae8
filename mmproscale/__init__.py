"""Efficient universal segmentation for OpenMMLab: PRO-SCALE and its kin as registry plug-ins.

Importing this checks the installed versions, offers stand-ins for what stock OpenMMLab lacks, has
checkpoints read as data only, and makes the registries known under scope `mmproscale`. Nothing
heavy: no torch, no mmcv, no mmdet.
"""

from mmproscale import compat

compat.apply()

from mmproscale import checkpoints, registry  # noqa: E402  after the check says what is missing
from mmproscale.version import __version__  # noqa: E402

checkpoints.install_when_imported()

__all__ = ["__version__", "registry"]
