"""Backbones; mmseg, whose parts they are, is imported when one of them is built."""

from __future__ import annotations

from mmengine.model import BaseModule

from mmproscale.registry import MODELS


@MODELS.register_module(name="STDCNet")
def stdc_net(**arguments) -> BaseModule:
    """:class:`mmproscale.models.backbones.stdc.STDCNet`."""
    from mmproscale.models.backbones.stdc import STDCNet

    return STDCNet(**arguments)
