"""Backbones; those of mmseg are imported when they are built."""

from __future__ import annotations

from mmengine.model import BaseModule

from mmproscale.registry import MODELS


@MODELS.register_module(name="STDCNet")
def stdc_net(**arguments) -> BaseModule:
    """Build a :class:`mmproscale.models.backbones.stdc.STDCNet`."""
    from mmproscale.models.backbones.stdc import STDCNet

    return STDCNet(**arguments)
