"""Backbones; packages that they need are imported when one is built."""

from __future__ import annotations

from mmengine.model import BaseModule

from mmproscale.models.backbones.timm_backbone import TimmBackbone
from mmproscale.registry import MODELS

__all__ = ["TimmBackbone", "stdc_net"]


@MODELS.register_module(name="STDCNet")
def stdc_net(**arguments) -> BaseModule:
    """Build a :class:`mmproscale.models.backbones.stdc.STDCNet`."""
    from mmproscale.models.backbones.stdc import STDCNet

    return STDCNet(**arguments)
