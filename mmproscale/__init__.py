"""Efficient universal segmentation for OpenMMLab: PRO-SCALE, ECO-M2F and PEM as registry plug-ins.

Importing this package checks the installed versions, provides stand-ins for parts that stock
OpenMMLab lacks, has checkpoints read as data only, and registers the scope `mmproscale`. It does
not import torch, mmcv or mmdet; `Segmenter` and `Detector` do, when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmproscale import compat

compat.apply()

from mmproscale import checkpoints, registry  # noqa: E402  (after the check of versions)
from mmproscale.version import __version__  # noqa: E402

checkpoints.install_when_imported()

if TYPE_CHECKING:
    from mmproscale.inference.predictor import Detector, Segmenter
    from mmproscale.utils.config import base_files

__all__ = ["Detector", "Segmenter", "__version__", "base_files", "registry"]


def __getattr__(name: str) -> Any:
    if name == "base_files":
        from mmproscale.utils import config

        return config.base_files
    if name not in ("Detector", "Segmenter"):
        raise AttributeError(f"module 'mmproscale' has no attribute '{name}'")
    from mmproscale.inference import predictor

    return getattr(predictor, name)
